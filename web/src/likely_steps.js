// Collects the steps in which a label is likely enough to matter, while a recording is recognised, in the memory of these:
// src/audioinceptionnext/results/likely_steps.py. page/likely_steps.js describes the result, and finds segments in it.

const LOWEST = 0.05; // onset threshold for which all that matters is kept
const MAX_VALUES = 4_000_000; // 16 MB; if more would be kept, the lowest threshold is higher
const BLOCK = 64; // steps that are kept or left out together

export class LikelyStepsCollector {
  #kept = []; // of each label: {at: place of the block, values, highest}
  #blocks = []; // the last two of all labels: {values, highest: of each label}
  #count = 0; // blocks
  #highest; // of each label, so far
  #values = 0; // that are kept
  #lowest = LOWEST;
  #rows = [];

  /**
   * @param {string[]} labels
   * @param {object} settings of the segments
   * @param {number} stepSeconds
   * @param {number} windowSeconds
   */
  constructor(labels, settings, stepSeconds, windowSeconds) {
    Object.assign(this, { labels, settings, stepSeconds, windowSeconds, steps: 0 });
    this.share = settings.offsetThreshold / settings.onsetThreshold;
    const { classSmoothing, classMinDurations, smoothing, minDuration, mergeGap } = settings;
    this.smoothing = classSmoothing.length ? classSmoothing : labels.map(() => smoothing);
    this.minDurations = classMinDurations.length ? classMinDurations : labels.map(() => minDuration);
    this.block = Math.max(BLOCK, Math.ceil((Math.max(...this.smoothing) + mergeGap) / stepSeconds + 1e-9) + 1);
    this.#kept = labels.map(() => []);
    this.#highest = new Float32Array(labels.length);
  }

  /** rows: the probabilities of further steps. */
  add(rows) {
    for (const row of rows) {
      this.#rows.push(row);
      this.steps++;
      if (this.#rows.length === this.block) this.#endBlock();
    }
  }

  /** The LikelySteps of a recording of this duration in seconds; null if these are too many at any onset threshold. */
  finish(duration) {
    if (this.#rows.length) this.#endBlock();
    this.#keep(null); // the last block has nothing after it
    this.#kept = this.#kept.map((blocks, column) => (this.#highest[column] < this.#lowest ? [] : blocks));
    this.#drop();
    while (this.#values > MAX_VALUES) {
      if (this.#lowest >= 1) return null;
      this.#raise();
    }
    const columns = this.#kept.flatMap((blocks, column) => (blocks.length ? [column] : []));
    const all = columns.flatMap((column, place) => this.#kept[column].map(({ at, values }) => ({ at: place * this.#count + at, values })));
    const data = new Float32Array(all.length * this.block);
    all.forEach(({ values }, index) => data.set(values, index * this.block));
    return {
      labels: columns.map((column) => this.labels[column]),
      steps: this.steps,
      block: this.block,
      step_seconds: this.stepSeconds,
      window_seconds: this.windowSeconds,
      duration,
      lowest: this.#lowest,
      offset_share: this.share,
      smoothing: columns.map((column) => this.smoothing[column]),
      min_duration: columns.map((column) => this.minDurations[column]),
      merge_gap: this.settings.mergeGap,
      places: all.map(({ at }) => at),
      data,
    };
  }

  #endBlock() {
    const highest = new Float32Array(this.labels.length);
    for (const row of this.#rows) for (let column = 0; column < row.length; column++) if (row[column] > highest[column]) highest[column] = row[column];
    highest.forEach((value, column) => (this.#highest[column] = Math.max(this.#highest[column], value)));
    this.#keep({ rows: this.#rows, highest });
    this.#rows = [];
    this.#count++;
  }

  /** Keeps what matters of the block before the latest one, now that the block after it is known. */
  #keep(latest) {
    const [before, block] = this.#blocks;
    if (block) {
      const at = this.#count - 1;
      for (let column = 0; column < this.labels.length; column++) {
        const highest = Math.max(before?.highest[column] ?? 0, block.highest[column], latest?.highest[column] ?? 0);
        if (highest < this.#lowest * this.share) continue;
        const values = new Float32Array(this.block);
        block.rows.forEach((row, index) => (values[index] = row[column]));
        this.#kept[column].push({ at, values, highest });
        this.#values += this.block;
      }
    }
    this.#blocks = [block, latest];
    // At the end, labels that were never likely are dropped, too.
    while (this.#values > 2 * MAX_VALUES && this.#lowest < 1) this.#raise();
  }

  #raise() {
    this.#lowest = Math.min(1, 1.2 * this.#lowest);
    this.#drop();
  }

  /** Drops what matters at lower onset thresholds only. */
  #drop() {
    this.#kept = this.#kept.map((blocks) => blocks.filter(({ highest }) => highest >= this.#lowest * this.share));
    this.#values = this.block * this.#kept.reduce((sum, blocks) => sum + blocks.length, 0);
  }
}
