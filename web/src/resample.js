// Changes the sampling rate, as src/audioinceptionnext/audio/resample.py does with FFmpeg.

import { concatenate, roundEven } from "./numbers.js";

const LOUDEST = 1e6; // 120 dB above full scale: a damaged number, as NaN and infinity are
export const MIN_RATE = 100;
export const MAX_RATE = 1_536_000;

/** The same samples, a Float32Array, in which NaN, infinite and absurd values are 0. */
export function finite(samples) {
  return Float32Array.from(samples, (value) => (Math.abs(value) <= LOUDEST ? value : 0));
}

const FILTER = 32; // taps, if the rate is not lowered
const CUTOFF = 0.97; // as a share of the lower Nyquist frequency of both rates
const BETA = 9; // of the Kaiser window
const MAX_PHASES = 1024; // positions between two samples that have filters of their own

/**
 * Changes the rate of mono samples: n samples become exactly round(n * target / rate).
 *
 * The filter is a windowed sinc with as many phases as fit, and with FFmpeg's default parameters. If the rates need more
 * phases, it interpolates linearly between two of them. Before its start the waveform is mirrored at its first sample,
 * and after its end it is silent.
 */
export class Resampler {
  constructor(rate, target) {
    this.rate = rate;
    this.target = target;
    this.received = 0; // samples
    this.returned = 0; // samples
    if (rate === target) return;
    const factor = Math.min((target * CUTOFF) / rate, 1);
    this.taps = 2 * Math.ceil(FILTER / factor / 2); // even
    this.before = this.taps / 2 - 1; // taps before the one at the output's position, or just before it
    // The exact positions are a multiple of target / gcd; more phases than that would never be used.
    const exact = target / gcd(rate, target);
    this.phases = exact <= MAX_PHASES ? exact * Math.floor(MAX_PHASES / exact) : MAX_PHASES;
    this.bank = filterBank(this.taps, this.phases, factor);
    // From one output to the next: samples, phases, and parts of a phase (of which it has `target`).
    this.step = [Math.floor(rate / target), Math.floor(((rate % target) * this.phases) / target)];
    this.step.push(((rate % target) * this.phases) % target);
    this.phase = this.part = 0;
    this.held = []; // blocks of input that outputs still need
    this.ready = 0; // samples in them
    this.at = 0; // index in `held` of the next output's first tap
    this.mirrored = false;
  }

  /** Takes samples and returns those at the new rate that are complete: Float32Array, maybe empty. */
  push(samples) {
    this.received += samples.length;
    const result = this.rate === this.target ? samples : this.#run(samples);
    this.returned += result.length;
    return result;
  }

  /** Returns the rest: Float32Array. */
  finish() {
    const left = roundEven((this.received * this.target) / this.rate) - this.returned;
    if (this.rate === this.target || left <= 0) return new Float32Array(0);
    const tail = this.#run(new Float32Array(2 * this.taps + Math.ceil(this.rate / this.target)));
    return tail.subarray(0, left);
  }

  #run(samples) {
    if (samples.length) this.held.push(samples);
    this.ready += samples.length;
    if (!this.mirrored && this.ready <= this.before) return new Float32Array(0);
    const input = concatenate(this.held.length ? this.held : [new Float32Array(0)]);
    const whole = this.mirrored ? input : this.#mirror(input);
    const output = this.#filter(whole);
    this.held = [whole.slice(this.at)]; // a copy: a view would keep all of it in memory
    this.ready = this.held[0].length;
    this.at -= whole.length - this.ready;
    return output;
  }

  #mirror(input) {
    const start = new Float32Array(this.before);
    for (let i = 0; i < this.before; i++) start[i] = input[this.before - i];
    this.mirrored = true;
    return concatenate([start, input]);
  }

  #filter(input) {
    const { taps, phases, target, bank } = this;
    const [samples, steps, parts] = this.step;
    const room = Math.max(0, Math.ceil(((input.length - taps - this.at + 2) * target) / this.rate) + 1);
    const output = new Float32Array(room);
    let { at, phase, part } = this;
    let count = 0;
    while (at + taps <= input.length) {
      const value = product(input, at, bank, phase * taps, taps);
      if (part) {
        const next = product(input, at, bank, (phase + 1) * taps, taps);
        output[count++] = value + ((next - value) * part) / target;
      } else output[count++] = value;
      at += samples;
      phase += steps;
      part += parts;
      if (part >= target) {
        part -= target;
        phase += 1;
      }
      if (phase >= phases) {
        phase -= phases;
        at += 1;
      }
    }
    Object.assign(this, { at, phase, part });
    return output.subarray(0, count);
  }
}

function product(input, at, bank, weight, taps) {
  let sum = 0;
  for (let tap = 0; tap < taps; tap++) sum += input[at + tap] * bank[weight + tap];
  return sum;
}

/** For each phase, and for the next sample, the weights of the samples around it: (phases + 1, taps), Float32Array. */
function filterBank(taps, phases, factor) {
  const bank = new Float32Array((phases + 1) * taps);
  const row = new Float64Array(taps);
  let sum = 0; // of the first phase; all are divided by it, as in FFmpeg
  for (let phase = 0; phase <= phases; phase++) {
    for (let tap = 0; tap < taps; tap++) {
      const offset = tap - (taps / 2 - 1) - phase / phases; // samples from the output's position
      const x = Math.PI * offset * factor;
      const window = bessel(BETA * Math.sqrt(Math.max(0, 1 - ((2 * offset) / taps) ** 2)));
      row[tap] = window * (x === 0 ? 1 : Math.sin(x) / x);
    }
    if (phase === 0) sum = row.reduce((all, weight) => all + weight, 0);
    for (let tap = 0; tap < taps; tap++) bank[phase * taps + tap] = row[tap] / sum;
  }
  return bank;
}

/** The modified Bessel function of the first kind and order 0, from its power series. */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}
