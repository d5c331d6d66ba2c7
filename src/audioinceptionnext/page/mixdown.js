// From several channels to one: audio/mixdown.py, whose class explains the rule and its numbers.

const CELLS = 20; // a second: 50 ms for each decision
const FADES = 100; // in a second: 10 ms from one choice to the next
const DECAY = Math.exp(-4 / CELLS); // what a cell counts one cell later
const FAR_BELOW = 0.1; // power of a mean by that of the loudest channel
const NEAR = 0.2;
const SILENT = 1e-3; // power of a channel by that of the loudest
const FAINT = 0.1;
const MUCH_LOUDER = 4;
const AS_LOUD = 0.8;
const AUDIBLE = 1e-8; // mean square
const NOTHING = 1e-13;

/** Mixes channels down to the mean of all, or of those that can be mixed without losing the sound. */
export class Mixdown {
  /** warn: for live inputs: called with one line when a second is not the mean of all channels. */
  constructor(warn = null) {
    this.seconds = this.replaced = 0; // mixed so far; of these, audible ones that are not the mean of all channels
    this.warn = warn;
    this.uses = new Map(); // seconds by what was done instead, in words
    this.#start(0, 1);
  }

  #start(channels, rate) {
    Object.assign(this, { channels, rate });
    this.cell = Math.max(1, Math.floor(rate / CELLS)); // samples
    this.fade = Math.max(1, Math.floor(rate / FADES));
    this.all = Array.from({ length: channels }, (_, channel) => channel);
    this.products = new Float64Array(channels ** 2); // of deviations from the means, added up and decayed
    this.partial = this.products; // of the cell that is not complete
    this.means = new Float64Array(channels); // of that cell
    this.at = 0; // samples of that cell
    this.choice = this.before = this.all; // for this cell and for the one before: numbers of channels
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
    const mixed = new Float32Array(channels[0].length);
    for (let start = 0, end; start < mixed.length; start = end) {
      end = Math.min(mixed.length, start + this.cell - this.at);
      this.#part(
        mixed.subarray(start, end),
        channels.map((channel) => channel.subarray(start, end)),
      );
    }
    return mixed;
  }

  /** One line if more than a moment was not the mean of all channels, or null. */
  warning() {
    return this.replaced > Math.min(1, 0.1 * this.seconds) ? `${this.#use()} for ${this.replaced.toFixed(1)} s` : null;
  }

  /** Mixes and counts a cell or a part of one. */
  #part(mixed, channels) {
    const { all, at } = this;
    const samples = mixed.length;
    let { means, products } = sums(channels);
    if (!this.products.some(Boolean) && !this.partial.some(Boolean)) this.choice = this.before = this.#next(products, all);
    const { before, choice } = this;
    mixInto(mixed, channels, choice);
    if (!same(before, choice) && at < this.fade) {
      const fading = new Float32Array(Math.min(samples, this.fade - at));
      mixInto(fading, channels, before);
      for (let i = 0; i < fading.length; i++) mixed[i] = fading[i] + ((at + i + 1) / this.fade) * (mixed[i] - fading[i]);
    }
    if (!same(choice, all) && loudestOf(products, all) > AUDIBLE * samples) this.#count(samples / this.rate, products);
    if (at) {
      const apart = means.map((mean, channel) => mean - this.means[channel]);
      const shared = (at * samples) / (at + samples);
      const both = products.map((product, index) => {
        const [one, other] = [Math.floor(index / all.length), index % all.length];
        return this.partial[index] + product + apart[one] * apart[other] * shared;
      });
      means = means.map((_, channel) => this.means[channel] + (apart[channel] * samples) / (at + samples));
      products = floored(both, all, at + samples);
    }
    Object.assign(this, { means, partial: products, at: at + samples });
    if (this.at < this.cell) return;
    const soFar = this.products.some(Boolean) ? choice : all; // nothing that a part of the first cell decided
    this.products = this.products.map((old, index) => DECAY * old + products[index]);
    this.partial = new Float64Array(products.length);
    this.at = 0;
    this.before = choice;
    this.choice = this.#next(this.products, soFar);
  }

  /** The choice that follows another one. */
  #next(products, choice) {
    const { all } = this;
    const loudest = loudestOf(products, all);
    if (!loudest) return choice;
    const enough = (some) => meanPower(products, all, some) >= loudest * (same(some, choice) ? FAR_BELOW : NEAR);
    if (enough(all)) return all;
    const powers = all.map((channel) => powerOf(products, all, channel));
    for (const least of [SILENT, FAINT]) {
      const isLoud = (channel) => powers[channel] >= least * loudest;
      for (const some of [all.filter((channel) => isLoud(channel) || choice.includes(channel)), all.filter(isLoud)])
        if (enough(some)) return some;
    }
    if (choice.length === 1 && powers[choice[0]] * MUCH_LOUDER >= loudest) return choice;
    return [powers.findIndex((power) => power >= AS_LOUD * loudest)];
  }

  #count(seconds, part) {
    const { all, choice } = this;
    this.replaced += seconds;
    const products = this.products.some(Boolean) ? this.products : part;
    const unused = all.filter((channel) => !choice.includes(channel));
    const cancel = loudestOf(products, all, unused) > FAINT * loudestOf(products, all);
    const names = choice.map((channel) => channel + 1);
    const last = names.pop();
    const used = names.length ? `channels ${names.join(", ")} and ${last}` : `channel ${last}`;
    const why = cancel ? "its channels cancel each other" : "most of its channels are silent, or all but silent";
    const line = `${why}, so that only ${used} of ${all.length} ${names.length ? "are" : "is"} used`;
    this.uses.set(line, (this.uses.get(line) ?? 0) + seconds);
    if (this.replaced <= 1) return;
    this.warn?.(this.#use());
    this.warn = null;
  }

  /** What was done for the longest time. */
  #use() {
    return [...this.uses].reduce((most, use) => (use[1] > most[1] ? use : most))[0];
  }
}

/** The mean of some channels, as long as `mixed` is. */
function mixInto(mixed, channels, some) {
  for (const one of some) for (let i = 0; i < mixed.length; i++) mixed[i] += channels[one][i];
  for (let i = 0; i < mixed.length; i++) mixed[i] /= some.length;
}

/** The means of channels, and the sums of products of their deviations, row after row. */
function sums(channels) {
  const means = Float64Array.from(channels, (channel) => channel.reduce((sum, value) => sum + value, 0) / channel.length);
  const centred = channels.map((channel, index) => channel.map((value) => value - means[index]));
  const products = new Float64Array(channels.length ** 2);
  for (let one = 0; one < channels.length; one++) {
    for (let other = 0; other <= one; other++) {
      let sum = 0;
      for (let i = 0; i < channels[0].length; i++) sum += centred[one][i] * centred[other][i];
      products[one * channels.length + other] = products[other * channels.length + one] = sum;
    }
  }
  return { means, products: floored(products, [...channels.keys()], channels[0].length) };
}

/** The same products, or 0 without sound. */
function floored(products, all, samples) {
  return loudestOf(products, all) < NOTHING * samples ? new Float64Array(products.length) : products;
}

function powerOf(products, all, channel) {
  return products[channel * (all.length + 1)];
}

function loudestOf(products, all, some = all) {
  return Math.max(...some.map((channel) => powerOf(products, all, channel)));
}

function meanPower(products, all, some) {
  let sum = 0;
  for (const one of some) for (const other of some) sum += products[one * all.length + other];
  return sum / some.length ** 2;
}

function same(some, others) {
  return some.length === others.length && some.every((one, index) => one === others[index]);
}
