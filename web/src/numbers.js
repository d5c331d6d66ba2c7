// Arithmetic that Python, numpy and JavaScript do differently.

export { roundEven, roundTo } from "../../src/audioinceptionnext/page/numbers.js";

/** Scores rounded down to four decimals. If those of all labels sum to 1, so do these at most: results/types.py. */
export function roundScores(scores) {
  const units = scores.map((score) => Math.floor(score * 10000 + 0.001));
  if (units.reduce((sum, unit) => sum + unit, 0) === 10000 && Math.max(...units) < 10000) {
    units[units.findLastIndex((unit) => unit > 0)] -= 1;
  }
  return units.map((unit) => unit / 10000);
}

/** Several Float32Arrays as one. */
export function concatenate(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The indices of the greatest values, greatest first; of equal values, the earlier one first. */
export function topIndices(values, count) {
  const order = Array.from(values, (_, index) => index);
  return order.sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
}
