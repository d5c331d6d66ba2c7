// From probabilities over time to segments: src/audioinceptionnext/results/segmentation.py.

const EPSILON_S = 1e-9; // seconds: two steps of 0.16 s are 0.32 s, whatever floating point says
const SETTINGS = {
  onsetThreshold: 0.5,
  offsetThreshold: 0.3,
  smoothing: 0.32,
  minDuration: 0.3,
  mergeGap: 0.3,
  classThresholds: [],
  classSmoothing: [],
  classMinDurations: [],
};

const OFFSET_TO_ONSET = 0.6; // the offset threshold as a share of the onset threshold, unless the model states one

/**
 * The settings of a model, for Segmenter: its own, and the defaults for the rest. settings_for of results/thresholds.py.
 *
 * @param {number[]} thresholds its onset thresholds, one per class, or none
 * @param {object} stated what its file states as `segmentation`
 */
export function ownSettings(thresholds, stated) {
  const { onsetThreshold, mergeGap } = SETTINGS;
  // Each of these is one number for all classes, or a list with one for each.
  const shared = (name, value) => (typeof value === "number" ? value : SETTINGS[name]);
  return {
    onsetThreshold,
    offsetThreshold: (stated.offset_share ?? OFFSET_TO_ONSET) * onsetThreshold,
    smoothing: shared("smoothing", stated.smoothing),
    minDuration: shared("minDuration", stated.min_duration),
    classSmoothing: Array.isArray(stated.smoothing) ? stated.smoothing : [],
    classMinDurations: Array.isArray(stated.min_duration) ? stated.min_duration : [],
    mergeGap: stated.merge_gap ?? mergeGap,
    classThresholds: stated.thresholds ?? thresholds,
  };
}

/**
 * Finds segments {start, end, label, score} in steps that arrive one by one, in bounded memory; the same ones, however the
 * steps are pushed.
 */
export class Segmenter {
  /**
   * @param {string[]} labels
   * @param {object} settings those that differ from the defaults: onsetThreshold and offsetThreshold (or
   *   classThresholds, one onset threshold per class, with offset thresholds in proportion), and in seconds mergeGap,
   *   smoothing and minDuration (or classSmoothing and classMinDurations, one per class)
   * @param {number} stepSeconds from one step to the next
   * @param {number} windowSeconds length of the window that each step sees
   */
  constructor(labels, settings, stepSeconds, windowSeconds) {
    this.labels = labels;
    this.settings = { ...SETTINGS, ...settings };
    this.stepSeconds = stepSeconds;
    this.windowSeconds = windowSeconds;
    const { onsetThreshold: onset, offsetThreshold: offset, classThresholds } = this.settings;
    const { smoothing, minDuration, classSmoothing, classMinDurations } = this.settings;
    this.onset = classThresholds.length ? classThresholds : labels.map(() => onset);
    this.offset = classThresholds.length ? classThresholds.map((one) => one * (offset / onset)) : labels.map(() => offset);
    this.shortest = classMinDurations.length ? classMinDurations : labels.map(() => minDuration);
    // Steps to either side that the moving average of each class takes in, and the most of them.
    this.reaches = (classSmoothing.length ? classSmoothing : labels.map(() => smoothing)).map((seconds) =>
      Math.trunc(seconds / stepSeconds / 2 + EPSILON_S),
    );
    this.reach = Math.max(0, ...this.reaches);
    this.last = null; // {steps, duration}, once known
    this.steps = 0; // received
    this.smoothed = 0;
    this.sums = [new Float64Array(labels.length)]; // cumulative, before each of the last steps received
    this.row = null; // the last step received
    this.total = new Float64Array(labels.length); // over the smoothed steps
    this.open = new Map(); // by class: the run that is going on
    this.held = new Map(); // by class: a run that is over and reached the onset threshold, but may yet be merged
  }

  /** The second at which the stretch that a step stands for begins. */
  bound(step) {
    const start = step === 0 ? 0 : Math.max(0, (this.windowSeconds - this.stepSeconds) / 2 + this.stepSeconds * step);
    if (!this.last) return start;
    return step === this.last.steps ? this.last.duration : Math.min(start, this.last.duration);
  }

  /** Takes a step that is not the last one; returns the segments that it completes, by start. */
  push(row) {
    const before = this.sums[this.sums.length - 1];
    this.steps += 1;
    this.sums.push(before.map((sum, column) => sum + row[column]));
    if (this.sums.length > 2 * this.reach + 2) this.sums.shift();
    this.row = row;
    return this.steps > this.reach ? this.#advance() : [];
  }

  /** Learns that so many further steps follow, and how long the whole recording is in seconds. */
  end(steps, duration) {
    this.last = { steps: this.steps + steps, duration };
  }

  /** Takes the last steps of a recording of this duration; returns all remaining segments, by start. */
  finish(rows, duration) {
    this.end(rows.length, duration);
    const found = rows.flatMap((row) => this.push(row));
    while (this.smoothed < this.steps) found.push(...this.#advance());
    for (const column of [...this.open.keys()]) this.#close(column);
    for (const column of [...this.held.keys()]) found.push(...this.#release(column));
    return sorted(found);
  }

  /** The segments that are still going on, as they are so far, by start. */
  openSegments() {
    const runs = [...this.open].filter(([, run]) => run.reached);
    const end = this.smoothed;
    return sorted(runs.map(([column, run]) => this.#segment(column, { ...run, end, after: this.total[column] })));
  }

  /** Handles the next smoothed step. */
  #advance() {
    const smooth = this.#smooth();
    const found = [];
    for (let column = 0; column < smooth.length; column++) {
      if (smooth[column] >= this.offset[column]) this.#continue(column, smooth[column] >= this.onset[column]);
      else if (this.open.has(column)) this.#close(column);
      const held = this.held.get(column);
      if (!held) continue;
      const following = this.open.has(column) ? this.open.get(column).first : this.smoothed + 1;
      const gap = this.bound(following) - this.bound(held.end);
      if (gap >= this.settings.mergeGap - EPSILON_S) found.push(...this.#release(column));
    }
    this.total = this.total.map((sum, column) => sum + smooth[column]);
    this.smoothed += 1;
    return sorted(found);
  }

  /** Adds a step to the run of a class, or begins one. */
  #continue(column, reachesOnset) {
    let run = this.open.get(column);
    if (!run) {
      run = { first: this.smoothed, before: this.total[column], reached: false, end: 0, after: 0 };
      this.open.set(column, run);
    }
    if (!reachesOnset || run.reached) return;
    run.reached = true;
    const held = this.held.get(column); // close enough to merge, or it would have been released
    if (held) Object.assign(run, { first: held.first, before: held.before });
    this.held.delete(column);
  }

  /** Ends a run: it is held in case another is merged with it, or dropped if it never reached the onset threshold. */
  #close(column) {
    const run = this.open.get(column);
    this.open.delete(column);
    if (run.reached) this.held.set(column, { ...run, end: this.smoothed, after: this.total[column] });
  }

  /** The next smoothed step: the mean with its neighbours, of which there are fewer at both ends of the recording. */
  #smooth() {
    if (!this.reach) return this.row;
    const earliest = this.steps + 1 - this.sums.length; // the step before which the first of the sums was taken
    return Float32Array.from(this.reaches, (reach, column) => {
      const first = Math.max(0, this.smoothed - reach);
      const end = Math.min(this.steps, this.smoothed + reach + 1);
      return (this.sums[end - earliest][column] - this.sums[first - earliest][column]) / (end - first);
    });
  }

  /** The held run of a class as a segment, unless it is too short. */
  #release(column) {
    const run = this.held.get(column);
    this.held.delete(column);
    const segment = this.#segment(column, run);
    const length = segment.end - segment.start;
    return length > 0 && length >= this.shortest[column] - EPSILON_S ? [segment] : [];
  }

  #segment(column, { first, end, before, after }) {
    const score = Math.min((after - before) / (end - first), 1);
    return { start: this.bound(first), end: this.bound(end), label: this.labels[column], score };
  }
}

/** Segments by start, end and label. */
export function sorted(segments) {
  return segments.sort((a, b) => a.start - b.start || a.end - b.end || (a.label < b.label ? -1 : 1));
}
