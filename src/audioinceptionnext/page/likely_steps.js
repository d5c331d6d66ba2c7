// The steps in which a label is likely enough to matter at some onset threshold, and the segments at any of them:
// src/audioinceptionnext/results/likely_steps.py, and segmentation.py for a whole recording.
import { roundTo } from "./numbers.js";

/**
 * @typedef {{labels: string[], tasks: ?(string[]), steps: number, block: number, places: number[], data: Float32Array,
 *   step_seconds: number, window_seconds: number, duration: number, lowest: number, offset_share: number, smoothing: number[],
 *   min_duration: number[], merge_gap: number}} LikelySteps
 *
 * Of each label, the time is divided into blocks of so many steps. places: which blocks are kept, each as the label's place
 * times the number of blocks, plus the block's place; data: the probabilities of these, one block after another. All other
 * probabilities are too low to be part of a segment at an onset threshold of `lowest` or more, and count as 0. Times are in
 * seconds; `tasks`, `smoothing` and `min_duration` have one value per label, the first only if the model has several tasks.
 */

const EPSILON_S = 1e-9; // seconds: two steps of 0.16 s are 0.32 s, whatever floating point says

/** LikelySteps from the JSON object of the server, whose data are float32 in base64. */
export function decodeLikelySteps(given) {
  if (!given) return null;
  const text = atob(given.data);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return { ...given, data: new Float32Array(bytes.buffer) };
}

/** The segments at an onset threshold for all labels: those that the command line gives with it. */
export function segmentsAt(likely, threshold) {
  const { labels, tasks, steps, block, places, data } = likely;
  const blocks = Math.ceil(steps / block);
  const row = new Float32Array(blocks * block);
  const found = [];
  for (let at = 0; at < places.length; ) {
    const label = Math.floor(places[at] / blocks);
    row.fill(0);
    for (; at < places.length && Math.floor(places[at] / blocks) === label; at++) row.set(data.subarray(at * block, (at + 1) * block), (places[at] % blocks) * block);
    const segments = segmentsOf(row.subarray(0, steps), label, likely, threshold);
    for (const one of segments) found.push({ ...one, label: labels[label], ...(tasks ? { task: tasks[label] } : {}) });
  }
  found.sort((a, b) => a.start - b.start || a.end - b.end || (a.label < b.label ? -1 : 1));
  return found.map(({ start, end, label, score, ...task }) => ({ start: roundTo(start, 3), end: roundTo(end, 3), label, score: roundTo(score, 4), ...task }));
}

/** The segments {start, end, score} of a label. row: its probability in each step. */
function segmentsOf(row, label, likely, onset) {
  const { step_seconds: step, window_seconds: window, duration } = likely;
  const offset = likely.offset_share * onset;
  const bound = (at) => (at === row.length ? duration : Math.min(at && Math.max(0, (window - step) / 2 + step * at), duration));
  const smooth = smoothed(row, Math.trunc(likely.smoothing[label] / step / 2 + EPSILON_S));
  const found = [];
  let [total, open, held] = [0, null, null]; // a run that goes on, and one that is over and may yet be merged
  const release = () => {
    const [start, end] = [bound(held.first), bound(held.end)];
    const score = Math.min((held.after - held.before) / (held.end - held.first), 1);
    if (end > start && end - start >= likely.min_duration[label] - EPSILON_S) found.push({ start, end, score });
    held = null;
  };
  for (let at = 0; at <= row.length; at++) {
    const isLast = at === row.length;
    if (!isLast && smooth[at] >= offset) {
      open ??= { first: at, before: total, reached: false };
      if (held && bound(open.first) - bound(held.end) >= likely.merge_gap - EPSILON_S) release();
      if (smooth[at] >= onset && !open.reached) {
        if (held) Object.assign(open, { first: held.first, before: held.before });
        held = null;
        open.reached = true;
      }
    } else if (open) {
      if (open.reached) held = { ...open, end: at, after: total };
      open = null;
    }
    if (!isLast) total += smooth[at];
  }
  if (held) release();
  return found;
}

/** The moving average over a step and `reach` steps to either side, of which there are fewer at both ends. */
function smoothed(row, reach) {
  if (!reach) return row;
  const sums = new Float64Array(row.length + 1);
  for (let at = 0; at < row.length; at++) sums[at + 1] = sums[at] + row[at];
  return Float32Array.from(row, (_, at) => {
    const [first, end] = [Math.max(0, at - reach), Math.min(row.length, at + reach + 1)];
    return (sums[end] - sums[first]) / (end - first);
  });
}
