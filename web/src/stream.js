// Sound that has no end yet: answers as their clips are complete: Stream of src/audioinceptionnext/inference/stream.py.

import { BATCH } from "./listening.js";
import { mono, Resampler } from "./mixing.js";
import { best, concatenated, rounded } from "./numbers.js";
import { asBytes } from "./overview.js";
import { inJson } from "./recogniser.js";
import { Segmenter } from "./timeline.js";

const HOP_S = 0.16; // from one answer to the next, where the model can
const LOW = -11.5; // of a live log-mel, drawn before anyone knows how loud it will be
const HIGH = 2.5;
const TOP = 5;

/** Memory stays that of a clip, however long the sound lasts. One call at a time: wait for each. */
export class Stream {
  /**
   * @param {Recogniser} recogniser whichever way it hears files
   * @param {number} rate Hz, of the samples to come
   */
  constructor(recogniser, rate) {
    this.recogniser = recogniser;
    this.listener = recogniser.clips;
    this.rate = recogniser.sampleRate;
    this.grid = this.listener.grid.withStep(finerStep(recogniser));
    this.hop = this.grid.step / this.rate;
    const settings = { byClass: recogniser.thresholds };
    this.segmenter = new Segmenter(recogniser.labels, settings, this.hop, recogniser.window);
    this.resampler = new Resampler(rate, this.rate);
    // An answer is given with so many samples from its clip's start. One more than the clip has: then another answer
    // follows for certain, and the last one, which speaks for all that is left, comes with `finish`.
    this.span = Math.max(this.grid.clip, Math.floor((this.grid.clip + this.grid.step) / 2)) + 1;
    this.pieces = []; // of the sound, from sample `first` on
    this.first = this.heard = 0; // samples
    this.steps = this.given = 0; // heard by the network; made answers of
  }

  /** How many samples are kept for answers to come. */
  get held() {
    return this.pieces.reduce((sum, piece) => sum + piece.length, 0);
  }

  /** The answers whose clips these samples (Float32Array, mono) complete; a backlog is heard in batches. */
  async push(samples) {
    this.#keep(this.resampler.push(mono([samples])));
    const answers = [];
    for (;;) {
      const ready = Math.floor((this.heard - this.steps * this.grid.step - this.span) / this.grid.step) + 1;
      if (ready <= 0) return answers;
      for (const one of await this.#hear(Math.min(BATCH, ready))) {
        answers.push(this.#answer(one, this.segmenter.push(one.row), false));
      }
    }
  }

  /** The rest: the last clip, which may lack samples, and all segments that were open. No sound, no answer. */
  async finish() {
    this.#keep(this.resampler.finish());
    const { clip, step } = this.grid;
    const left = this.heard ? this.grid.steps(this.heard) - this.steps : 0;
    const rest = [];
    while (left > rest.length) {
      const whole = Math.floor((this.heard - this.steps * step - clip + 1) / step) + 1;
      rest.push(...(await this.#hear(Math.min(left - rest.length, BATCH, Math.max(1, whole)))));
    }
    const rows = rest.map((one) => one.row);
    const segments = this.segmenter.finish(rows, this.heard / this.rate);
    return rest.map((one, index) => {
      const last = index === rest.length - 1;
      return this.#answer(one, last ? segments : [], last);
    });
  }

  #keep(samples) {
    if (samples.length) this.pieces.push(samples);
    this.heard += samples.length;
  }

  /** The next steps, {row, logMel, bands} each; what no step needs any more is dropped. */
  async #hear(count) {
    const { step } = this.grid;
    const waveform = concatenated(this.pieces);
    const from = this.steps * step - this.first;
    const { rows, logMel, bands } = await this.listener.hearClips(waveform.subarray(from), count, step);
    this.steps += count;
    const dropped = Math.min(this.steps * step - this.first, waveform.length);
    this.pieces = [waveform.slice(dropped)];
    this.first += dropped;
    return rows.map((row, index) => ({ row, logMel: logMel[index], bands }));
  }

  #answer({ row, logMel, bands }, segments, last) {
    const [start, end] = [this.segmenter.bound(this.given), this.segmenter.bound(this.given + 1)];
    const { labels } = this.recogniser;
    const top = best(row, TOP).map((index) => ({ label: labels[index], score: rounded(row[index], 4) }));
    const sounds = row.some((value) => value > 0);
    const answer = {
      start: rounded(start, 3),
      end: rounded(end, 3),
      label: sounds ? top[0].label : null,
      score: sounds ? top[0].score : 0,
      top,
      segments: segments.map(inJson),
      log_mel: this.#drawn(logMel, bands, last),
    };
    this.given += 1;
    return answer;
  }

  /** The frames of the stretch that an answer speaks for: around its clip's centre, at both ends all that there are. */
  #drawn(logMel, bands, last) {
    const before = Math.max(0, Math.floor((this.grid.clipFrames - this.grid.stepFrames) / 2));
    const start = this.given === 0 ? 0 : before * bands;
    const end = last ? logMel.length : (before + this.grid.stepFrames) * bands;
    const frames = logMel.subarray(start, end);
    if (!frames.length) return null;
    const about = { columns: frames.length / bands, bands, low: LOW, high: HIGH, sample_rate: this.rate };
    return { ...about, data: asBytes(frames, LOW, HIGH) };
  }
}

/** Samples from one answer to the next: 0.16 s, where that is the model's step, a multiple or a part of it. */
function finerStep({ clips: listener, sampleRate, step: seconds }) {
  const { step } = listener.grid;
  if (seconds * 0.999 <= HOP_S) return Math.round(HOP_S / seconds) * step;
  const parts = Math.round(seconds / HOP_S);
  const divides = step % (parts * listener.finest) === 0 && Math.abs(parts * HOP_S - seconds) <= 0.01 * seconds;
  return listener.finest * 0.999 <= HOP_S * sampleRate && divides ? step / parts : step;
}
