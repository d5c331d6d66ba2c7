// Arithmetic that Python, numpy and JavaScript do differently.

/** The nearest whole number; of two, the even one, as Python's round. */
export function roundEven(value) {
  const whole = Math.floor(value);
  const part = value - whole;
  return part < 0.5 || (part === 0.5 && whole % 2 === 0) ? whole : whole + 1;
}

/** A number of 0 or more, rounded to some decimals as Python's round does it. */
export function roundTo(value, decimals) {
  // A tie is a binary fraction with a limited number of halvings. Multiplying by a power of two is exact.
  const tie = Math.abs((value * 2 ** (decimals + 1)) % 2) === 1;
  return tie ? roundEven(value * 10 ** decimals) / 10 ** decimals : Number(value.toFixed(decimals));
}

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
