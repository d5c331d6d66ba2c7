// Blocks of sound of any length through the network, and answers as one pass over all of it gives them:
// src/audioinceptionnext/inference/windows.py, whose comments say why the numbers are what they are.

import { concatenated } from "./numbers.js";

const BLOCK_FRAMES = { dense: 6000, windows: 2000 };
const MARGIN_FRAMES = { dense: 832, windows: 0 };
export const BATCH = 16; // clips that go through the network together
const SILENCE = -9.0; // a log-mel that stays below this is digital silence

/** Where answers lie in the waveform; all in frames, or in samples where it says so. */
export class Grid {
  /**
   * @param {number} clipFrames of an answer's window
   * @param {number} wholeFrames as many, up to whole positions of the feature map where the network pools over these
   * @param {number} frame samples from one frame of the log-mel to the next
   * @param {number} step samples from one window to the next
   */
  constructor(clipFrames, wholeFrames, frame, step) {
    Object.assign(this, { clipFrames, wholeFrames, frame, step });
    this.clip = clipFrames * frame; // samples
    this.stepFrames = Math.floor(step / frame);
  }

  withStep(step) {
    return new Grid(this.clipFrames, this.wholeFrames, this.frame, step);
  }

  /** How many frames of so many samples are heard: one centred on their very end only where a clip is short. */
  frames(samples) {
    return Math.max(Math.ceil(samples / this.frame), Math.min(1 + Math.floor(samples / this.frame), this.clipFrames));
  }

  /** How many steps so many samples give: one for a clip and less, and a last one however little follows. */
  steps(samples) {
    const frames = this.frames(samples);
    const missing = Math.ceil(Math.max(0, frames - this.wholeFrames) / this.stepFrames);
    return 1 + Math.min(missing, Math.floor(Math.max(0, frames - 1) / this.stepFrames));
  }
}

/** One model and one way to hear long audio. */
export class Listener {
  /**
   * @param {function} network (waveforms: Float32Array of (count, samples), count) => {logits: Float32Array[] of each
   *   step of each clip, logMel: Float32Array of (count, frames, bands), frames, bands}; asynchronous
   * @param {object} facts what the file says of itself
   * @param {string} run dense, windows or clips
   */
  constructor(network, facts, run) {
    this.network = network;
    this.run = run;
    const [clip, step, frame] = [facts.clip_frames, facts.step_frames, facts.hop_samples].map(Number);
    const whole = run === "dense" ? Math.ceil(clip / step) * step : clip;
    this.grid = new Grid(clip, whole, frame, step * frame);
    this.finest = run === "dense" ? Number(facts.finest_frames ?? step) * frame : frame; // samples
  }

  /**
   * All steps and frames of a recording, a part at a time: {rows: probabilities of each step, logMel, bands}.
   *
   * @param {AsyncIterable<Float32Array>} blocks of any lengths, one after another
   */
  async *listen(blocks) {
    const { grid } = this;
    const margin = Math.ceil(MARGIN_FRAMES[this.run] / grid.stepFrames) || 1;
    const body = Math.max(1, Math.floor(BLOCK_FRAMES[this.run] / grid.stepFrames));
    let waveform = new Float32Array(0);
    let first = 0; // the step at which the held waveform starts
    let done = 0; // steps given so far
    for await (const block of blocks) {
      waveform = concatenated([waveform, block]);
      for (;;) {
        // Enough for the body's last step and the margin after it.
        const needed = (done - first + body + margin - 1) * grid.step + grid.clip;
        if (waveform.length < needed) break;
        const heard = await this.#pass(waveform.subarray(0, needed));
        yield part(heard, done - first, done - first + body, grid, (done - first + body) * grid.stepFrames);
        done += body;
        if (done > margin) waveform = waveform.slice((done - margin - first) * grid.step);
        first = Math.max(first, done - margin);
      }
    }
    const total = grid.steps(first * grid.step + waveform.length);
    if (done < total) {
      const heard = await this.#pass(waveform);
      yield part(heard, done - first, total - first, grid, grid.frames(waveform.length));
    }
  }

  async #pass(waveform) {
    const { grid } = this;
    const { logits, logMel, frames, bands } = await this.network(waveform, 1);
    const loud = new Int32Array(frames + 1); // frames above silence, so far
    for (let i = 0; i < frames; i++) loud[i + 1] = loud[i] + (highest(logMel, i * bands, (i + 1) * bands) > SILENCE);
    const rows = logits.map((row, step) => {
      const start = Math.min(step * grid.stepFrames, frames);
      const end = Math.min(start + grid.clipFrames, frames);
      return probabilities(row, loud[end] > loud[start]);
    });
    return { rows, logMel, bands };
  }

  /**
   * So many answers, each from its own clip of the waveform, `step` samples after the one before.
   *
   * @returns {{rows, logMel: Float32Array[], bands}} rows and log-mels of each clip. A single clip may be short.
   */
  async hearClips(waveform, count, step) {
    const most = this.grid.clip - 1; // the most samples that make a clip's frames
    const size = Math.min(most, waveform.length - (count - 1) * step);
    const clips = new Float32Array(count * size);
    for (let i = 0; i < count; i++) clips.set(waveform.subarray(i * step, i * step + size), i * size);
    const { logits, logMel, frames, bands } = await this.network(clips, count);
    const kept = Math.min(frames, this.grid.frames(size)) * bands;
    const each = logits.length / count; // steps of a clip: the first one counts
    const logMels = [];
    const rows = [];
    for (let i = 0; i < count; i++) {
      logMels.push(logMel.subarray(i * frames * bands, i * frames * bands + kept));
      rows.push(probabilities(logits[i * each], highest(logMels[i], 0, kept) > SILENCE));
    }
    return { rows, logMel: logMels, bands };
  }
}

/** The steps from `first` to `end` of a pass, with the frames from the first step's on to `lastFrame`. */
function part(heard, first, end, grid, lastFrame) {
  const { rows, logMel, bands } = heard;
  const frames = logMel.subarray(first * grid.stepFrames * bands, lastFrame * bands);
  return { rows: rows.slice(first, end), logMel: frames, bands };
}

/** Softmax of a row of logits: Float32Array; all 0 where nothing sounds. */
export function probabilities(logits, sounds) {
  if (!sounds) return new Float32Array(logits.length);
  const most = highest(logits, 0, logits.length);
  const powers = Float32Array.from(logits, (value) => Math.exp(value - most));
  const sum = powers.reduce((all, power) => all + power, 0);
  return powers.map((power) => power / sum);
}

function highest(values, start, end) {
  let most = -Infinity;
  for (let i = start; i < end; i++) if (values[i] > most) most = values[i];
  return most;
}
