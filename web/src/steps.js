// From blocks of samples to probabilities: src/audioinceptionnext/inference/steps.py, whose comments explain the
// numbers. Blocks of any length give what one pass over the whole waveform would give.

import { concatenate } from "./numbers.js";

const BLOCK_FRAMES = { dense: 6000, windows: 2000 };
const MARGIN_FRAMES = { dense: 832, windows: 0 };
const [LOOKAHEAD_FRAMES, MIRRORED_FRAMES, TURN_FRAMES] = [256, 320, 64]; // of a live stream

/** Where steps lie in the waveform; in frames, or in samples where a comment says so. */
class StepGrid {
  /**
   * @param {number} clipFrames of a window
   * @param {number} wholeFrames of a window, rounded up to whole positions of the feature map where the network pools
   *   over these
   * @param {number} hop samples from one frame of the log-mel to the next
   * @param {number} step samples from one window to the next
   */
  constructor(clipFrames, wholeFrames, hop, step) {
    Object.assign(this, { clipFrames, wholeFrames, hop, step });
    this.clip = clipFrames * hop; // samples
    this.stepFrames = Math.floor(step / hop);
  }

  /** How many frames a number of samples has. A frame centred on their very end counts only if a clip is short. */
  frames(samples) {
    return Math.max(Math.ceil(samples / this.hop), Math.min(1 + Math.floor(samples / this.hop), this.clipFrames));
  }

  /** How many steps a number of samples has: one for a clip or less, and a last one however little follows. */
  steps(samples) {
    const frames = this.frames(samples);
    const missing = Math.ceil(Math.max(0, frames - this.wholeFrames) / this.stepFrames);
    return 1 + Math.min(missing, Math.floor(Math.max(0, frames - 1) / this.stepFrames));
  }
}

/** A network that predicts the steps of long audio in one mode. */
export class StepPredictor {
  /**
   * @param {function} network (waveform: Float32Array) => {windows, timeline: the probabilities of each window, and of
   *   each step of a fine timeline (or null), a Float32Array each; logMel: Float32Array of (frames, bands), bands};
   *   asynchronous
   * @param {object} metadata of the ONNX file
   * @param {string} mode dense or windows
   */
  constructor(network, metadata, mode) {
    this.network = network;
    this.mode = mode;
    const [clip, step, hop] = [metadata.clip_frames, metadata.step_frames, metadata.hop_samples].map(Number);
    const whole = mode === "dense" ? Math.ceil(clip / step) * step : clip;
    this.windows = new StepGrid(clip, whole, hop, step * hop); // as the file gives them
    this.fine = mode === "dense" && "timeline_step_frames" in metadata;
    const fine = Number(metadata.timeline_step_frames);
    this.grid = this.fine ? new StepGrid(fine, fine, hop, fine * hop) : this.windows; // of the steps
    this.marginFrames = Number((mode === "dense" && metadata.margin_frames) || MARGIN_FRAMES[mode]);
  }

  /**
   * All steps and frames of a recording, part by part: {rows: the probabilities of each step, windows: those of each
   * window, which are the same unless the timeline is a fine one; logMel, bands}.
   *
   * @param {AsyncIterable<Float32Array>} blocks consecutive, of any lengths
   */
  async *predictBlocks(blocks) {
    const { windows: grid } = this;
    const margin = Math.ceil(Math.max(this.marginFrames, grid.stepFrames) / grid.stepFrames);
    const body = Math.max(1, Math.floor(BLOCK_FRAMES[this.mode] / grid.stepFrames));
    let waveform = new Float32Array(0);
    let first = 0; // the window at which `waveform` starts
    let done = 0; // windows that have been yielded
    for await (const block of blocks) {
      waveform = concatenate([waveform, block]);
      for (;;) {
        // Enough for the body's last window and the margin after it.
        const needed = (done - first + body + margin - 1) * grid.step + grid.clip;
        if (waveform.length < needed) break;
        const prediction = await this.network(waveform.subarray(0, needed));
        yield this.#part(prediction, done - first, done - first + body, (done - first + body) * grid.stepFrames);
        done += body;
        if (done > margin) waveform = waveform.slice((done - margin - first) * grid.step);
        first = Math.max(first, done - margin);
      }
    }
    const total = grid.steps(first * grid.step + waveform.length);
    if (done < total) {
      const prediction = await this.network(waveform);
      const [lastFrame, lastStep] = [grid.frames(waveform.length), this.grid.steps(waveform.length)];
      yield this.#part(prediction, done - first, total - first, lastFrame, lastStep);
    }
  }

  /** Of a prediction, the windows from `first` to `end`, and the frames and steps from the first one's on. */
  #part({ windows, timeline, logMel, bands }, first, end, lastFrame, lastStep = lastFrame / this.grid.stepFrames) {
    const firstFrame = first * this.windows.stepFrames;
    const kept = windows.slice(first, end);
    const rows = this.fine ? timeline.slice(firstFrame / this.grid.stepFrames, lastStep) : kept;
    return { rows, windows: kept, logMel: logMel.subarray(firstFrame * bands, lastFrame * bands), bands };
  }

  /**
   * How a live stream predicts its steps, in turns: {steps: in a turn; in samples: stride: a turn begins at a multiple of
   * it; before: what a turn takes in before its first step; lookahead: what it takes in after the window of its last
   * one; mirrored: what is appended}.
   */
  liveGrid() {
    const { hop, step, stepFrames } = this.grid;
    const steps = Math.max(1, Math.floor(TURN_FRAMES / stepFrames));
    const stride = this.windows.step;
    const margin = this.marginFrames;
    const before = Math.ceil(Math.max(margin, this.windows.stepFrames) / stepFrames) * step;
    if (this.mode === "windows") return { steps, stride, before, lookahead: step, mirrored: 0 };
    const mirrored = Math.max(0, Math.min(MIRRORED_FRAMES, margin - LOOKAHEAD_FRAMES));
    return { steps, stride, before, lookahead: LOOKAHEAD_FRAMES * hop, mirrored: mirrored * hop };
  }

  /**
   * Some steps of a waveform, the very last window of which may lack samples.
   *
   * @param {number} first of the steps
   * @param {number} mirrored samples that are appended, in reverse order
   * @returns {{rows, logMel: Float32Array, bands}} rows of these steps, and the log-mel of the whole waveform
   */
  async predictTurn(waveform, first, count, mirrored) {
    const extended = mirrored ? concatenate([waveform, waveform.slice(-mirrored).reverse()]) : waveform;
    const { windows, timeline, logMel, bands } = await this.network(extended);
    const rows = (timeline ?? windows).slice(first, first + count);
    return { rows, logMel: logMel.subarray(0, this.grid.frames(waveform.length) * bands), bands };
  }
}
