// What mediabunny does not read in headers: how much an encoder added at both ends.

const HEAD = 1 << 16; // bytes; more than a header has in front of the sound
const CLUSTER = 0x1f43b675; // of Matroska: here the sound begins
const OGG_PAGE = 0x4f676753; // "OggS"
const CODEC_DELAY = 0x56aa;
const DECODER_DELAY = 529; // samples by which every MP3 decoder is late

/**
 * What the first frame of an MP3 file states: {frames: how many follow, or null; start, end: samples to drop there}.
 *
 * @param {Blob} file
 */
export async function mp3Padding(file) {
  const tag = await read(file, 0, 10);
  // Tags come first; each byte holds seven bits of their size.
  const sevens = tag.byteLength === 10 && text(tag, 0, 3) === "ID3" ? [6, 7, 8, 9] : [];
  const skipped = sevens.reduce((size, at) => size * 128 + (tag.getUint8(at) & 127), 0);
  const data = await read(file, skipped && skipped + 10, 2048);
  const at = text(data, 0, data.byteLength).search(/Xing|Info/);
  if (at < 0 || data.byteLength < at + 144) return { frames: null, start: 0, end: 0 };
  const flags = data.getUint8(at + 7);
  const frames = flags & 1 ? data.getUint32(at + 8) : null;
  const encoder = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) / 2;
  if (!/^(LAME|Lav[fc])/.test(text(data, encoder, 4))) return { frames, start: 0, end: 0 };
  const start = (data.getUint16(encoder + 21) >> 4) + DECODER_DELAY;
  const end = Math.max(0, (data.getUint16(encoder + 22) & 4095) - DECODER_DELAY);
  return { frames, start, end };
}

/** The seconds that an encoder added in front of the first sound track with such a delay, as a Matroska file states. */
export async function matroskaDelay(file) {
  const data = await read(file, 0, HEAD);
  for (let at = 0; at + 8 < data.byteLength && data.getUint32(at) !== CLUSTER; at++) {
    const bytes = data.getUint8(at + 2) & 127;
    if (data.getUint16(at) !== CODEC_DELAY || data.getUint8(at + 2) < 128 || bytes > 4) continue;
    let nanoseconds = 0;
    for (let i = 0; i < bytes; i++) nanoseconds = nanoseconds * 256 + data.getUint8(at + 3 + i);
    if (nanoseconds < 2e8) return nanoseconds / 1e9;
  }
  return 0;
}

async function read(file, start, size) {
  return new DataView(await file.slice(start, start + size).arrayBuffer());
}

/** How many samples an Ogg file has, as its last page states; null if it does not. */
export async function oggSamples(file) {
  const tail = await read(file, Math.max(0, file.size - HEAD), HEAD); // a page is not longer than that
  let at = tail.byteLength - 14;
  while (at >= 0 && tail.getUint32(at) !== OGG_PAGE) at -= 1;
  if (at < 0) return null;
  const samples = Number(tail.getBigInt64(at + 6, true));
  return samples > 0 ? samples : null;
}

/** ASCII at an offset; shorter if the data end there. */
function text(data, at, length) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset + at, Math.max(0, Math.min(length, data.byteLength - at)));
  return String.fromCharCode(...bytes);
}
