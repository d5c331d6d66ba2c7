// Live recognition: steps that see what surrounds their windows. Stream of src/audioinceptionnext/inference/stream.py.

import { concatenate, roundTo } from "./numbers.js";
import { roundSegment } from "./recogniser.js";
import { finite, Resampler } from "./resample.js";
import { Segmenter } from "./segmentation.js";
import { toBytes } from "./thumbnail.js";

const LOW = -11.5; // range of a live log-mel, drawn before its loudest and quietest parts are known
const HIGH = 2.5;

/** Recognises samples as they arrive, in the memory of a few windows. One call at a time: wait for each to end. */
export class Stream {
  /**
   * @param {Recogniser} recogniser of any mode
   * @param {number} rate Hz, of the samples that will be pushed
   */
  constructor(recogniser, rate) {
    this.recogniser = recogniser;
    this.predictor = recogniser.predictor;
    this.rate = recogniser.sampleRate;
    this.grid = this.predictor.grid;
    this.live = this.predictor.liveGrid();
    const { labels, settings, windowSeconds, stepSeconds } = recogniser;
    this.segmenter = new Segmenter(labels, settings, stepSeconds, windowSeconds);
    this.resampler = new Resampler(rate, this.rate);
    // Samples from a window's start after which its step is given. One more than the window has: then another step is
    // certain to follow, and the last one, which stands for all that is left, comes with `finish`.
    const { clip, wholeFrames, hop, step } = this.grid;
    this.span = Math.max(clip + this.live.lookahead, wholeFrames * hop) + 1;
    // Seconds from the middle of a step to the moment at which it is given, at most.
    this.delay = (this.span - 1 - Math.floor(clip / 2) + (this.live.steps - 1) * step) / this.rate;
    this.blocks = []; // of the waveform, from sample `first` on
    this.first = this.received = 0; // samples
    this.predicted = this.given = 0; // steps
  }

  /** How many samples are in memory for steps to come. */
  get held() {
    return this.blocks.reduce((sum, block) => sum + block.length, 0);
  }

  /** Takes samples (Float32Array, mono) and returns the steps for which they complete what is needed. */
  async push(samples) {
    this.#keep(this.resampler.push(finite(samples)));
    const steps = [];
    const { steps: turn, lookahead, mirrored } = this.live;
    for (;;) {
      const last = (this.predicted + turn - 1) * this.grid.step;
      if (this.received < last + this.span) return steps;
      for (const one of await this.#predict(turn, last + this.grid.clip + lookahead, mirrored)) {
        steps.push(this.#step(one, this.segmenter.push(one.row)));
      }
    }
  }

  /** Returns the last steps, the very last of which may lack samples, with all segments that were still open. */
  async finish() {
    this.#keep(this.resampler.finish());
    const left = this.received ? this.grid.steps(this.received) - this.predicted : 0;
    const rest = left > 0 ? await this.#predict(left, this.received, 0, true) : [];
    const duration = this.received / this.rate;
    this.segmenter.end(rest.length, duration);
    const steps = rest.slice(0, -1).map((one) => this.#step(one, this.segmenter.push(one.row)));
    for (const one of rest.slice(-1)) steps.push(this.#step(one, this.segmenter.finish([one.row], duration)));
    return steps;
  }

  #keep(samples) {
    if (samples.length) this.blocks.push(samples);
    this.received += samples.length;
  }

  /**
   * The next steps, {row, logMel, bands} each; samples that no step needs any more are dropped.
   *
   * @param {number} end of the samples that they see
   * @param {number} mirrored see liveGrid
   * @param {boolean} over whether no step follows these
   */
  async #predict(count, end, mirrored, over = false) {
    const { clipFrames, hop, step, stepFrames } = this.grid;
    const waveform = concatenate(this.blocks);
    const first = this.#firstSeen();
    const seen = waveform.subarray(first - this.first, end - this.first);
    const before = this.predicted * step - first;
    const { rows, logMel, bands } = await this.predictor.predictTurn(seen, before / step, count, mirrored);
    // A step's frames lie in the middle of its window; those of the first and the last step reach to its ends.
    const margin = Math.max(0, Math.floor((clipFrames - stepFrames) / 2));
    const steps = rows.map((row, number) => {
      const start = before / hop + number * stepFrames + margin;
      const stop = over && number + 1 === count ? undefined : (start + stepFrames) * bands;
      return { row, logMel: logMel.slice(this.predicted + number ? start * bands : 0, stop), bands };
    });
    this.predicted += count;
    const dropped = Math.min(this.#firstSeen() - this.first, waveform.length);
    this.blocks = [waveform.slice(dropped)];
    this.first += dropped;
    return steps;
  }

  /** The first sample that the next steps see. */
  #firstSeen() {
    const { before, stride } = this.live;
    return Math.max(0, Math.floor((this.predicted * this.grid.step - before) / stride) * stride);
  }

  /** A Step, see page/server.js. */
  #step({ row, logMel, bands }, segments) {
    const [start, end] = [this.segmenter.bound(this.given), this.segmenter.bound(this.given + 1)];
    const { labels } = this.recogniser;
    const scores = Array.from(row, (value) => roundTo(value, 4));
    const best = row.indexOf(Math.max(...row));
    const loud = row[best] > 0;
    this.given += 1;
    return {
      start: roundTo(start, 3),
      end: roundTo(end, 3),
      delay: roundTo(this.delay, 3),
      label: loud ? labels[best] : null,
      score: scores[best],
      probabilities: Object.fromEntries(labels.map((label, index) => [label, scores[index]])),
      segments: segments.map(roundSegment),
      open: this.segmenter.openSegments().map(roundSegment),
      log_mel: this.#encodeLogMel(logMel, bands),
    };
  }

  #encodeLogMel(frames, bands) {
    if (!frames.length) return null;
    const columns = frames.length / bands;
    return { columns, bands, low: LOW, high: HIGH, sample_rate: this.rate, data: toBytes(frames, LOW, HIGH) };
  }
}
