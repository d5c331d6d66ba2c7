// What people have changed in the segments of a Result (see server.js): a layer over the model's segments, with undo. It
// depends on neither the list of the model's segments nor the choice of labels, so both may change below it.

/** Seconds; no segment is shorter. */
export const MIN_SECONDS = 0.05;

const known = new WeakMap(); // by Result

/** The Corrections of a Result; the same ones each time. */
export function correctionsOf(result) {
  if (!known.has(result)) known.set(result, new Corrections(result));
  return known.get(result);
}

/** A Result with its corrections. segments: of the model, if they are others than those of the Result, such as fewer. */
export function corrected(result, segments = result.segments) {
  const corrections = correctionsOf(result);
  return { ...result, segments: corrections.apply(segments), edited: corrections.edited };
}

/** Whether two segments say the same. */
export function equal(one, other) {
  return one.start === other.start && one.end === other.end && one.label === other.label;
}

export class Corrections {
  // Each edit adds a state: {removed: segments of the model, own: [{segment, origin}] that replace them or are new (origin
  // null), text: the edit in words, before, after: the segment concerned or null, merge}.
  #states = [{ removed: [], own: [] }];
  #at = 0;
  #saved = null; // the state that was saved last

  /** result: {duration, clip}; clip says which task a label belongs to, if the model has several. */
  constructor({ duration, clip = [] }) {
    this.duration = duration;
    this.tasks = new Map(clip.map(({ label, task }) => [label, task]));
  }

  get #state() {
    return this.#states[this.#at];
  }

  /** Whether anything differs from the model's segments. */
  get edited() {
    return this.#state.own.length > 0 || this.#state.removed.length > 0;
  }

  /** Whether there are edits since the last `markSaved`. */
  get unsaved() {
    return this.edited && this.#state !== this.#saved;
  }

  /** How many segments are {changed, added, deleted}. */
  get counts() {
    const { own, removed } = this.#state;
    const changed = own.filter(({ origin }) => origin).length;
    return { changed, added: own.length - changed, deleted: removed.length - changed };
  }

  /** The labels of the segments that people have changed or added, as a Set. */
  get labels() {
    return new Set(this.#state.own.map(({ segment }) => segment.label));
  }

  get canUndo() {
    return this.#at > 0;
  }

  get canRedo() {
    return this.#at < this.#states.length - 1;
  }

  /** The corrected segments, ordered by start. segments: the model's. */
  apply(segments) {
    if (!this.edited) return segments;
    const kept = segments.filter((one) => !this.#isRemoved(one));
    return [...kept, ...this.#state.own.map(({ segment }) => segment)].sort((a, b) => a.start - b.start || a.end - b.end);
  }

  /** With other thresholds, the model's segments have other bounds: what lies mostly within one that was removed is the same. */
  #isRemoved({ start, end, label }) {
    const overlap = (one) => Math.min(end, one.end) - Math.max(start, one.start);
    return this.#state.removed.some((one) => one.label === label && overlap(one) > 0.5 * (end - start));
  }

  /** Adds a segment, {start, end, label}, and returns it as it is now. text: the edit in words. */
  add(values, text) {
    const segment = this.fit(values);
    const { removed, own } = this.#state;
    this.#push({ removed, own: [...own, { segment, origin: null }], text, before: null, after: segment });
    return segment;
  }

  /**
   * Changes a segment, which may be the model's, and returns the one that replaces it. values: {start, end, label}, or some
   * of them. merge: consecutive changes of one segment with the same name are one edit. also: segments that get its label.
   */
  change(segment, values, text, { merge = null, also = [] } = {}) {
    const made = this.fit({ ...segment, ...values });
    if (equal(made, segment)) return segment;
    const { after: latest, merge: last } = this.#state;
    let state = this.#replaced(this.#state, segment, made);
    const { after } = state;
    for (const one of also) state = this.#replaced(state, one, this.fit({ ...one, label: made.label }));
    let before = segment;
    if (merge && merge === last && latest === segment && !this.canRedo) {
      ({ before } = this.#states.pop());
      this.#at--;
    }
    this.#push({ ...state, text, before, after, merge });
    return after;
  }

  /** also: segments that are removed with it. */
  remove(segment, text, also = []) {
    let state = this.#state;
    for (const one of [segment, ...also]) state = this.#replaced(state, one, null);
    this.#push({ ...state, text, before: segment, after: null, merge: null });
  }

  /** The state in which a segment is replaced by another one, `after`, or by none; what the model said itself is no correction. */
  #replaced({ removed, own }, segment, made) {
    const entry = own.find((one) => one.segment === segment);
    const origin = entry ? entry.origin : segment;
    const others = own.filter((one) => one !== entry);
    if (made && origin && equal(made, origin)) return { removed: removed.filter((one) => one !== origin), own: others, after: origin };
    return { removed: entry ? removed : [...removed, origin], own: made ? [...others, { segment: made, origin }] : others, after: made };
  }

  /** Drops all corrections, as an edit that can be undone. */
  revert(text) {
    if (this.edited) this.#push({ removed: [], own: [], text, before: null, after: null });
  }

  /** Undoes the last edit: {text, segment: the one concerned, as it is now, or null}; null if there is none. */
  undo() {
    if (!this.canUndo) return null;
    const { text, before } = this.#state;
    this.#at--;
    return { text, segment: before };
  }

  redo() {
    if (!this.canRedo) return null;
    this.#at++;
    const { text, after } = this.#state;
    return { text, segment: after };
  }

  markSaved() {
    this.#saved = this.#state;
  }

  #push(state) {
    this.#states.splice(this.#at + 1, Infinity, state);
    this.#at++;
  }

  /** A segment within the recording, not too short, with times in whole milliseconds. Its score is null: nobody estimated it. */
  fit({ start, end, label }) {
    const round = (seconds) => Math.round(seconds * 1000) / 1000;
    const first = Math.max(0, Math.min(start, this.duration - MIN_SECONDS));
    const last = Math.min(this.duration, Math.max(end, first + MIN_SECONDS));
    const task = this.tasks.get(label);
    return { start: round(first), end: round(last), label, score: null, ...(task ? { task } : {}) };
  }
}
