// Reads WAV files block by block: exactly, and however long they are.

import { MAX_RATE, MIN_RATE, mono } from "./resample.js";

const BLOCK = 1 << 18; // samples of each channel
const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];
const UNKNOWN = 0x7fff0000; // a program that writes to a pipe cannot go back to enter the size, and leaves 0 or the largest number

/**
 * An open WAV file: {rate, length (samples), blocks (mono Float32Array, to be read once)}; null if it is not a WAV file,
 * or a compressed one, which the browser has to decode.
 *
 * @param {Blob} blob
 * @param {string} name of the file, for messages
 * @throws {Error} one line that says what is wrong with the file
 */
export async function readWav(blob, name) {
  const head = await view(blob, 0, 12);
  if (head.byteLength < 12 || !["RIFF", "RF64"].includes(text(head, 0)) || text(head, 8) !== "WAVE") return null;
  const { format, start, size } = await chunks(blob);
  if (!format?.channels) throw new Error(`${name}: damaged: a WAV file without its format; get a whole copy`);
  const { coding, channels, rate, bits } = format;
  const readSample = SAMPLES[`${coding} ${bits}`];
  if (!readSample) return null;
  if (rate < MIN_RATE || rate > MAX_RATE) {
    throw new Error(`${name}: claims ${rate} samples per second, as no recording has; get a whole copy`);
  }
  const frame = (channels * bits) / 8;
  const length = Math.floor(size / frame);
  if (!length) throw new Error(`${name}: no sound could be decoded: it is empty or damaged; get a whole copy`);
  return { rate, length, blocks: readBlocks(blob, start, length, frame, channels, readSample) };
}

/** The format, and where the samples lie in the file: {format, start, size}, in bytes. */
async function chunks(blob) {
  let format = null;
  let size64 = 0; // bytes of the samples, if they exceed 32 bits
  for (let at = 12; at + 8 <= blob.size;) {
    const head = await view(blob, at, 8 + 40);
    const [kind, size] = [text(head, 0), head.getUint32(4, true)];
    if (kind === "fmt " && head.byteLength >= 8 + 16) format = formatOf(head);
    if (kind === "ds64" && head.byteLength >= 8 + 16) size64 = Number(head.getBigUint64(16, true));
    if (kind === "data") {
      const available = blob.size - at - 8;
      const claimed = size === 0xffffffff && size64 ? size64 : size;
      const known = claimed > 0 && (claimed < UNKNOWN || claimed === size64);
      return { format, start: at + 8, size: known ? Math.min(claimed, available) : available };
    }
    at += 8 + size + (size % 2);
  }
  return { format, start: 0, size: 0 };
}

function formatOf(head) {
  const coding = head.getUint16(8, true);
  const extended = coding === EXTENSIBLE && head.byteLength >= 8 + 26;
  const channels = head.getUint16(10, true);
  // Bits as they are stored: 20 bits are stored in 24.
  const bits = (head.getUint16(20, true) * 8) / channels;
  return { coding: extended ? head.getUint16(32, true) : coding, channels, rate: head.getUint32(12, true), bits };
}

// Reads the sample at an offset, with full scale -1 to 1, as FFmpeg decodes it.
const SAMPLES = {
  [`${PCM} 8`]: (data, at) => (data.getUint8(at) - 128) / 128,
  [`${PCM} 16`]: (data, at) => data.getInt16(at, true) / 2 ** 15,
  [`${PCM} 24`]: (data, at) => (data.getUint16(at, true) + data.getInt8(at + 2) * 65536) / 2 ** 23,
  [`${PCM} 32`]: (data, at) => data.getInt32(at, true) / 2 ** 31,
  [`${FLOAT} 32`]: (data, at) => data.getFloat32(at, true),
  [`${FLOAT} 64`]: (data, at) => data.getFloat64(at, true),
};

async function* readBlocks(blob, start, length, frame, channels, readSample) {
  for (let done = 0; done < length; done += BLOCK) {
    const count = Math.min(BLOCK, length - done);
    const data = await view(blob, start + done * frame, count * frame);
    const split = Array.from({ length: channels }, () => new Float32Array(count));
    split.forEach((values, channel) => {
      const first = (channel * frame) / channels;
      for (let i = 0; i < count; i++) values[i] = readSample(data, i * frame + first);
    });
    yield mono(split);
  }
}

async function view(blob, start, size) {
  return new DataView(await blob.slice(start, start + size).arrayBuffer());
}

function text(data, at) {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => data.getUint8(at + i)));
}
