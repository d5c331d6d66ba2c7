// Rounding as Python does it.

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
