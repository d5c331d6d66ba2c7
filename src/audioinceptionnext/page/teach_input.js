// Recordings that are to become examples: from the microphone, and from files.
import { openMicrophone } from "./microphone.js";
import { Mixdown } from "./mixdown.js";
import { Recording } from "./recording.js";
import { peakOf } from "./teach_sound.js";

const RATE = 48000; // Hz, of most of what is decoded here
const MAX_BYTES = 200e6; // of a file

/** Records from the microphone, until `stop` is called or so many seconds are over. */
export class Recorder {
  /**
   * @param {number} seconds at most
   * @param {function} onLevel called with {seconds: recorded so far, peak: of the latest block, 0 to 1}
   */
  constructor(seconds, onLevel) {
    Object.assign(this, { seconds, onLevel, blocks: [], samples: 0, warning: null });
    this.finished = new Promise((resolve) => (this.finish = resolve));
  }

  /** Opens the microphone. Throws an Error that says what to do. */
  async start() {
    this.microphone = await openMicrophone(
      (samples) => this.#push(samples),
      (line) => (this.warning = line),
    );
    if (this.stopped) this.microphone.stop();
  }

  /** {waveform: Float32Array, rate, warning: a line or null}, when the recording has ended. */
  async result() {
    await this.finished;
    const waveform = new Float32Array(this.samples);
    let at = 0;
    for (const block of this.blocks) {
      waveform.set(block, at);
      at += block.length;
    }
    return { waveform, rate: this.microphone?.rate ?? RATE, warning: this.warning };
  }

  stop() {
    this.stopped = true;
    this.microphone?.stop();
    this.finish();
  }

  #push(samples) {
    if (this.stopped) return;
    const left = Math.round(this.seconds * this.rate) - this.samples;
    this.blocks.push(samples.slice(0, left));
    this.samples += Math.min(left, samples.length);
    this.onLevel({ seconds: this.samples / this.rate, peak: peakOf(samples) });
    if (this.samples >= this.seconds * this.rate) this.stop();
  }

  get rate() {
    return this.microphone?.rate ?? RATE; // the first blocks may come before `start` has ended
  }
}

/**
 * The samples of a file, to look at and to cut: {waveform, rate}; null if this browser cannot decode it in this way, which does
 * not mean that it cannot be recognised.
 *
 * @throws {Error} one line: the file cannot be an example
 */
export async function decodeFile(file) {
  if (!file.size) throw new Error(`${file.name}: is empty (0 bytes): copy or record it again.`);
  if (file.size > MAX_BYTES) throw new Error(`${file.name}: is larger than ${MAX_BYTES / 1e6} MB: cut out the sound.`);
  try {
    const context = new OfflineAudioContext(1, 1, await rateOf(file));
    const decoded = await context.decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: decoded.numberOfChannels }, (_, index) => decoded.getChannelData(index));
    return { waveform: new Mixdown().mix(channels, decoded.sampleRate), rate: decoded.sampleRate };
  } catch {
    return null;
  }
}

/** The rate of a WAV file, so that peaks that were cut off stay flat; the usual one of others. */
async function rateOf(file) {
  const head = new DataView(await file.slice(0, 4096).arrayBuffer());
  for (let at = 12; at + 16 <= head.byteLength && head.getUint32(0) === 0x52494646; at += 8 + head.getUint32(at + 4, true))
    if (head.getUint32(at) === 0x666d7420) return Math.max(8000, Math.min(96000, head.getUint32(at + 12, true))); // "fmt "
  return RATE;
}

/** Samples as a WAV file with 16 bits. */
export function wavOf(waveform, rate) {
  const recording = new Recording(rate);
  recording.addSamples(waveform);
  return recording.wav();
}
