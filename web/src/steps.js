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

/** A network that predicts the windows of long audio in one mode. */
export class StepPredictor {
  /**
   * @param {function} network (waveforms: Float32Array of (count, samples), count) => {rows: the probabilities of each
   *   step of each clip, a Float32Array each; logMel: Float32Array of (count, frames, bands), frames, bands}; asynchronous
   * @param {object} metadata of the ONNX file
   * @param {string} mode dense or windows
   */
  constructor(network, metadata, mode) {
    this.network = network;
    this.mode = mode;
    const [clip, step, hop] = [metadata.clip_frames, metadata.step_frames, metadata.hop_samples].map(Number);
    const whole = mode === "dense" ? Math.ceil(clip / step) * step : clip;
    this.grid = new StepGrid(clip, whole, hop, step * hop);
    this.marginFrames = Number((mode === "dense" && metadata.margin_frames) || MARGIN_FRAMES[mode]);
  }

  /**
   * All steps and frames of a recording, part by part: {rows: probabilities of each step, logMel, bands}.
   *
   * @param {AsyncIterable<Float32Array>} blocks consecutive, of any lengths
   */
  async *predictBlocks(blocks) {
    const { grid } = this;
    const margin = Math.ceil(this.marginFrames / grid.stepFrames) || 1;
    const body = Math.max(1, Math.floor(BLOCK_FRAMES[this.mode] / grid.stepFrames));
    let waveform = new Float32Array(0);
    let first = 0; // the step at which `waveform` starts
    let done = 0; // steps that have been yielded
    for await (const block of blocks) {
      waveform = concatenate([waveform, block]);
      for (;;) {
        // Enough for the body's last step and the margin after it.
        const needed = (done - first + body + margin - 1) * grid.step + grid.clip;
        if (waveform.length < needed) break;
        const prediction = await this.network(waveform.subarray(0, needed), 1);
        yield part(prediction, done - first, done - first + body, grid, (done - first + body) * grid.stepFrames);
        done += body;
        if (done > margin) waveform = waveform.slice((done - margin - first) * grid.step);
        first = Math.max(first, done - margin);
      }
    }
    const total = grid.steps(first * grid.step + waveform.length);
    if (done < total) {
      const prediction = await this.network(waveform, 1);
      yield part(prediction, done - first, total - first, grid, grid.frames(waveform.length));
    }
  }

  /**
   * How a live stream predicts its steps, in turns: {steps: in a turn; in samples: before: what a turn takes in before
   * its first step; lookahead: what it takes in after the window of its last one; mirrored: what is appended}.
   */
  liveGrid() {
    const { hop, step, stepFrames } = this.grid;
    const steps = Math.max(1, Math.floor(TURN_FRAMES / stepFrames));
    const margin = this.marginFrames;
    const before = Math.ceil(Math.max(margin, stepFrames) / stepFrames) * step;
    if (this.mode === "windows") return { steps, before, lookahead: step, mirrored: 0 };
    const mirrored = Math.max(0, Math.min(MIRRORED_FRAMES, margin - LOOKAHEAD_FRAMES));
    return { steps, before, lookahead: LOOKAHEAD_FRAMES * hop, mirrored: mirrored * hop };
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
    const { rows, logMel, bands } = await this.network(extended, 1);
    const frames = logMel.subarray(0, this.grid.frames(waveform.length) * bands);
    return { rows: rows.slice(first, first + count), logMel: frames, bands };
  }
}

/** The steps from `first` to `end` of a prediction, with the frames from the first step's on to `lastFrame`. */
function part({ rows, logMel, bands }, first, end, grid, lastFrame) {
  const frames = logMel.subarray(first * grid.stepFrames * bands, lastFrame * bands);
  return { rows: rows.slice(first, end), logMel: frames, bands };
}
