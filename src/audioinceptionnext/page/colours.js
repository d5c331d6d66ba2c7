// The colours of labels and of the log-mel, which the pictures of `ainext predict` use too.

// Those of Okabe and Ito, which colour-blind people can tell apart; olive replaces their yellow.
const LABELS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a8a2b", "#6b6b6b"];

/** How many labels have a colour of their own. */
export const COLOURS = LABELS.length;

// The colour map magma at nine evenly spaced values.
const MAGMA = ["#000004", "#1d1147", "#51127c", "#832681", "#b73779", "#e75263", "#fc8961", "#fec488", "#fcfdbf"];

/** The colour of each label of a Result (see server.js); labels with the most time in segments come first. */
export function coloursOf(result) {
  const seconds = new Map(result.clip.map((one) => [one.label, 0]));
  for (const one of result.segments) seconds.set(one.label, (seconds.get(one.label) ?? 0) + one.end - one.start);
  const labels = [...seconds.keys()].sort((a, b) => seconds.get(b) - seconds.get(a));
  return new Map(labels.map((label, index) => [label, colourAt(index)]));
}

/** The colour at an index of a list of labels. */
export function colourAt(index) {
  return LABELS[index % LABELS.length];
}

/** Black or white, whichever is easier to read on a colour, by WCAG's relative luminance. */
export function inkOn(colour) {
  const [r, g, b] = rgb(colour).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** 256 colours as a Uint32Array of RGBA, for the pixels of an ImageData (little-endian). */
export const HEAT = (() => {
  const stops = MAGMA.map(rgb);
  const table = new Uint32Array(256);
  for (let level = 0; level < 256; level++) {
    const position = (level / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(position));
    const [r, g, b] = [0, 1, 2].map((i) => Math.round(stops[low][i] + (stops[low + 1][i] - stops[low][i]) * (position - low)));
    table[level] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return table;
})();
