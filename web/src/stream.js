// Live recognition: a step as soon as its window is complete. Stream of src/audioinceptionnext/inference/stream.py.

import { concatenate, roundTo, topIndices } from "./numbers.js";
import { roundSegment } from "./recogniser.js";
import { finite, Resampler } from "./resample.js";
import { Segmenter } from "./segmentation.js";
import { toBytes } from "./thumbnail.js";
import { BATCH_SIZE } from "./steps.js";

const STEP_S = 0.16; // from one step to the next, if the model can
const LOW = -11.5; // range of a live log-mel, drawn before its loudest and quietest parts are known
const HIGH = 2.5;
const TOP_K = 5;

/** Recognises samples as they arrive, in the memory of one window. One call at a time: wait for each to end. */
export class Stream {
  /**
   * @param {Recogniser} recogniser of any mode
   * @param {number} rate Hz, of the samples that will be pushed
   */
  constructor(recogniser, rate) {
    this.recogniser = recogniser;
    this.predictor = recogniser.clipPredictor;
    this.rate = recogniser.sampleRate;
    this.grid = this.predictor.grid.withStep(liveStep(recogniser));
    this.stepSeconds = this.grid.step / this.rate;
    const { labels, thresholds, windowSeconds } = recogniser;
    this.segmenter = new Segmenter(labels, { classThresholds: thresholds }, this.stepSeconds, windowSeconds);
    this.resampler = new Resampler(rate, this.rate);
    // Samples from a window's start after which its step is given. One more than the window has: then another step is
    // certain to follow, and the last one, which stands for all that is left, comes with `finish`.
    this.span = Math.max(this.grid.clip, Math.floor((this.grid.clip + this.grid.step) / 2)) + 1;
    this.blocks = []; // of the waveform, from sample `first` on
    this.first = this.received = 0; // samples
    this.predicted = this.given = 0; // steps
  }

  /** How many samples are in memory for steps to come. */
  get held() {
    return this.blocks.reduce((sum, block) => sum + block.length, 0);
  }

  /** Takes samples (Float32Array, mono) and returns the steps whose windows they complete, in batches if many wait. */
  async push(samples) {
    this.#keep(this.resampler.push(finite(samples)));
    const steps = [];
    for (;;) {
      const ready = Math.floor((this.received - this.predicted * this.grid.step - this.span) / this.grid.step) + 1;
      if (ready <= 0) return steps;
      for (const one of await this.#predict(Math.min(BATCH_SIZE, ready))) {
        steps.push(this.#step(one, this.segmenter.push(one.row), false));
      }
    }
  }

  /** Returns the last steps, the very last of which may lack samples, with all segments that were still open. */
  async finish() {
    this.#keep(this.resampler.finish());
    const { clip, step } = this.grid;
    const left = this.received ? this.grid.steps(this.received) - this.predicted : 0;
    const rest = [];
    while (left > rest.length) {
      const whole = Math.floor((this.received - this.predicted * step - clip + 1) / step) + 1;
      rest.push(...(await this.#predict(Math.min(left - rest.length, BATCH_SIZE, Math.max(1, whole)))));
    }
    const rows = rest.map((one) => one.row);
    const segments = this.segmenter.finish(rows, this.received / this.rate);
    return rest.map((one, index) => {
      const last = index === rest.length - 1;
      return this.#step(one, last ? segments : [], last);
    });
  }

  #keep(samples) {
    if (samples.length) this.blocks.push(samples);
    this.received += samples.length;
  }

  /** The next steps, {row, logMel, bands} each; samples that no step needs any more are dropped. */
  async #predict(count) {
    const { step } = this.grid;
    const waveform = concatenate(this.blocks);
    const from = this.predicted * step - this.first;
    const { rows, logMel, bands } = await this.predictor.predictClips(waveform.subarray(from), count, step);
    this.predicted += count;
    const dropped = Math.min(this.predicted * step - this.first, waveform.length);
    this.blocks = [waveform.slice(dropped)];
    this.first += dropped;
    return rows.map((row, index) => ({ row, logMel: logMel[index], bands }));
  }

  /** A Step, see page/server.js. */
  #step({ row, logMel, bands }, segments, last) {
    const [start, end] = [this.segmenter.bound(this.given), this.segmenter.bound(this.given + 1)];
    const { labels } = this.recogniser;
    const top = topIndices(row, TOP_K).map((index) => ({ label: labels[index], score: roundTo(row[index], 4) }));
    const loud = row.some((value) => value > 0);
    const step = {
      start: roundTo(start, 3),
      end: roundTo(end, 3),
      label: loud ? top[0].label : null,
      score: loud ? top[0].score : 0,
      top,
      segments: segments.map(roundSegment),
      log_mel: this.#encodeLogMel(logMel, bands, last),
    };
    this.given += 1;
    return step;
  }

  /** The frames of the stretch that a step stands for: the middle of its window; at both ends all that there are. */
  #encodeLogMel(logMel, bands, last) {
    const margin = Math.max(0, Math.floor((this.grid.clipFrames - this.grid.stepFrames) / 2));
    const start = this.given === 0 ? 0 : margin * bands;
    const end = last ? logMel.length : (margin + this.grid.stepFrames) * bands;
    const frames = logMel.subarray(start, end);
    if (!frames.length) return null;
    const columns = frames.length / bands;
    return { columns, bands, low: LOW, high: HIGH, sample_rate: this.rate, data: toBytes(frames, LOW, HIGH) };
  }
}

/** Samples from one step to the next: 0.16 s if that is the model's step, a multiple or a part of it. */
function liveStep({ clipPredictor, sampleRate, stepSeconds: seconds }) {
  const { grid } = clipPredictor;
  if (seconds * 0.999 <= STEP_S) return Math.round(STEP_S / seconds) * grid.step;
  const parts = Math.round(seconds / STEP_S);
  const divides = grid.stepFrames % parts === 0 && Math.abs(parts * STEP_S - seconds) <= 0.01 * seconds;
  return grid.hop * 0.999 <= STEP_S * sampleRate && divides ? grid.step / parts : grid.step;
}
