// Probabilities over time to segments: src/audioinceptionnext/results/segmentation.py and live.py's Segmenter.

export const TINY = 1e-9; // seconds; two hops of 0.16 s are 0.32 s, whatever floating point says
const SETTINGS = { upper: 0.5, lower: 0.3, smoothing: 0.32, shortest: 0.3, gap: 0.3, byClass: [] };

/** All segments of a recording, by start: {start, end, label, score}. rows: probabilities of each step. */
export function findSegments(rows, hop, window, duration, labels, settings = {}) {
  return rows.length ? new Segmenter(labels, settings, hop, window).finish(rows, duration) : [];
}

/** Segments from steps that come one by one, in bounded memory; whatever the pushes, the same ones. */
export class Segmenter {
  /**
   * @param {string[]} labels
   * @param {object} settings those that differ from the usual ones: upper and lower threshold (or byClass, an upper one
   *   for each class, the lower ones in proportion), smoothing, shortest and gap in seconds
   * @param {number} hop seconds from one step to the next
   * @param {number} window seconds that each step hears
   */
  constructor(labels, settings, hop, window) {
    this.labels = labels;
    this.settings = { ...SETTINGS, ...settings };
    this.hop = hop;
    this.window = window;
    const { upper, lower, byClass, smoothing } = this.settings;
    this.upper = byClass.length ? byClass : labels.map(() => upper);
    this.lower = byClass.length ? byClass.map((value) => value * (lower / upper)) : labels.map(() => lower);
    this.reach = Math.trunc(smoothing / hop / 2 + TINY); // steps to either side in the moving average
    this.last = null; // {steps, duration}, once known
    this.steps = 0; // that came
    this.smoothed = 0;
    this.sums = [new Float64Array(labels.length)]; // over the steps that came, before each of the last ones
    this.row = null; // the last one that came
    this.total = new Float64Array(labels.length); // over the smoothed steps
    this.open = new Map(); // by class: the run that goes on
    this.held = new Map(); // the run that reached `upper` and is over, but may yet be joined by another
  }

  /** Seconds at which what a step speaks for begins. */
  bound(step) {
    const place = step === 0 ? 0 : Math.max(0, (this.window - this.hop) / 2 + this.hop * step);
    if (!this.last) return place;
    return step === this.last.steps ? this.last.duration : Math.min(place, this.last.duration);
  }

  /** What is finished with one more step, which is over and not the last one. */
  push(row) {
    const before = this.sums[this.sums.length - 1];
    this.steps += 1;
    this.sums.push(before.map((sum, column) => sum + row[column]));
    if (this.sums.length > 2 * this.reach + 2) this.sums.shift();
    this.row = row;
    return this.steps > this.reach ? this.#advance() : [];
  }

  /** All the rest, after the last steps, of a recording of so many seconds. */
  finish(rows, duration) {
    this.last = { steps: this.steps + rows.length, duration };
    const found = rows.flatMap((row) => this.push(row));
    while (this.smoothed < this.steps) found.push(...this.#advance());
    for (const column of [...this.open.keys()]) this.#close(column);
    for (const column of [...this.held.keys()]) found.push(...this.#give(column));
    return sorted(found);
  }

  /** One more smoothed step. */
  #advance() {
    const smooth = this.#smooth();
    const found = [];
    for (let column = 0; column < smooth.length; column++) {
      if (smooth[column] >= this.lower[column]) this.#goOn(column, smooth[column] >= this.upper[column]);
      else if (this.open.has(column)) this.#close(column);
      const held = this.held.get(column);
      if (!held) continue;
      const following = this.open.has(column) ? this.open.get(column).first : this.smoothed + 1;
      if (this.bound(following) - this.bound(held.end) >= this.settings.gap - TINY) found.push(...this.#give(column));
    }
    this.total = this.total.map((sum, column) => sum + smooth[column]);
    this.smoothed += 1;
    return sorted(found);
  }

  /** A step of a run, maybe its first one. */
  #goOn(column, high) {
    let run = this.open.get(column);
    if (!run) {
      run = { first: this.smoothed, before: this.total[column], reached: false, end: 0, after: 0 };
      this.open.set(column, run);
    }
    if (!high || run.reached) return;
    run.reached = true;
    const held = this.held.get(column); // it is near enough, else it had been given before
    if (held) Object.assign(run, { first: held.first, before: held.before });
    this.held.delete(column);
  }

  /** A run that is over waits for another to join it, or is nothing. */
  #close(column) {
    const run = this.open.get(column);
    this.open.delete(column);
    if (run.reached) this.held.set(column, { ...run, end: this.smoothed, after: this.total[column] });
  }

  /** The next smoothed step: the mean with its neighbours, with fewer at both ends of the recording. */
  #smooth() {
    if (!this.reach) return this.row;
    const first = Math.max(0, this.smoothed - this.reach);
    const end = Math.min(this.steps, this.smoothed + this.reach + 1);
    const last = this.sums.length - 1;
    const before = this.sums[last - (this.steps - first)];
    return Float32Array.from(this.sums[last], (sum, column) => (sum - before[column]) / (end - first));
  }

  /** The held run as a segment, unless it is too short for one. */
  #give(column) {
    const run = this.held.get(column);
    this.held.delete(column);
    const start = this.bound(run.first);
    const end = this.bound(run.end);
    if (end <= start || end - start < this.settings.shortest - TINY) return [];
    const score = Math.min((run.after - run.before) / (run.end - run.first), 1);
    return [{ start, end, label: this.labels[column], score }];
  }
}

function sorted(segments) {
  return segments.sort((a, b) => a.start - b.start || a.end - b.end || (a.label < b.label ? -1 : 1));
}
