// From several channels to one: audio/mixdown.py, whose class explains the rule and its numbers.

const CELLS = 20; // a second: 50 ms for each decision
const FADES = 100; // in a second: 10 ms from one choice to the next
const DECAY = Math.exp(-4 / CELLS); // what a cell counts one cell later
const FAR_BELOW = 0.1; // power of the mean by that of the loudest channel
const NEAR = 0.2;
const MUCH_LOUDER = 4;
const AS_LOUD = 0.8;
const AUDIBLE = 1e-8; // mean square
const MEAN = -1; // in place of a channel's number
const WARNING = "its channels cancel each other, or most of them are silent, so that the loudest one is used";

/** Mixes channels down to their mean, or to the loudest of them where the mean would lose the sound. */
export class Mixdown {
  constructor() {
    this.seconds = this.replaced = 0; // mixed so far; of these, audible ones of the loudest channel
    this.#start(0, 1);
  }

  #start(channels, rate) {
    Object.assign(this, { channels, rate });
    this.cell = Math.max(1, Math.floor(rate / CELLS)); // samples
    this.fade = Math.max(1, Math.floor(rate / FADES));
    this.powers = new Float64Array(channels + 1); // of each channel and of the mean, decayed
    this.partial = new Float64Array(channels + 1); // the same of the cell that is not complete
    this.at = 0; // samples of that cell
    this.choice = this.before = MEAN; // for this cell and for the one before
  }

  /**
   * Mixes the next block: a Float32Array.
   *
   * @param {Float32Array[]} channels of equal lengths, finite
   * @param {number} rate in Hz
   */
  mix(channels, rate) {
    this.seconds += channels[0].length / rate;
    if (channels.length === 1) return channels[0];
    if (this.channels !== channels.length || this.rate !== rate) this.#start(channels.length, rate);
    const mean = new Float32Array(channels[0].length);
    for (const channel of channels) for (let i = 0; i < mean.length; i++) mean[i] += channel[i];
    for (let i = 0; i < mean.length; i++) mean[i] /= channels.length;
    const every = [...channels, mean];
    const mixed = new Float32Array(mean.length);
    for (let start = 0, end; start < mean.length; start = end) {
      end = Math.min(mean.length, start + this.cell - this.at);
      this.#part(mixed, every, start, end);
    }
    return mixed;
  }

  /** One line if more than a moment was not the mean of the channels, or null. */
  warning() {
    return this.replaced > Math.min(1, 0.1 * this.seconds) ? `${WARNING} for ${this.replaced.toFixed(1)} s` : null;
  }

  #part(mixed, every, start, end) {
    const powers = every.map((one) => one.subarray(start, end).reduce((sum, value) => sum + value * value, 0));
    if (!this.powers.some(Boolean) && !this.partial.some(Boolean)) this.choice = this.before = next(powers, MEAN);
    const [before, after] = [this.before, this.choice].map((choice) => every.at(choice));
    mixed.set(after.subarray(start, end), start);
    for (let i = start; before !== after && this.at + i - start < this.fade && i < end; i++) {
      mixed[i] = before[i] + ((this.at + i - start + 1) / this.fade) * (after[i] - before[i]);
    }
    if (this.choice !== MEAN && Math.max(...powers) > AUDIBLE * (end - start)) this.replaced += (end - start) / this.rate;
    powers.forEach((power, index) => (this.partial[index] += power));
    this.at += end - start;
    if (this.at < this.cell) return;
    const soFar = this.powers.some(Boolean) ? this.choice : MEAN; // nothing that a part of the first cell decided
    this.powers.forEach((old, index) => (this.powers[index] = DECAY * old + this.partial[index]));
    this.partial.fill(0);
    this.at = 0;
    this.before = this.choice;
    this.choice = next([...this.powers], soFar);
  }
}

/** The choice that follows another one. */
function next(powers, choice) {
  const [channels, mean] = [powers.slice(0, -1), powers.at(-1)];
  const loudest = Math.max(...channels);
  if (mean >= loudest * (choice === MEAN ? FAR_BELOW : NEAR)) return loudest ? MEAN : choice;
  if (choice !== MEAN && channels[choice] * MUCH_LOUDER >= loudest) return choice;
  return channels.findIndex((power) => power >= AS_LOUD * loudest);
}
