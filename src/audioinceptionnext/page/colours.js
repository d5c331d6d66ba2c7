// The colours of labels and of the log-mel.

// Labels take slots: so many hues at three lightnesses each. In OKLCH, equal steps look equally large.
const [HUES, LEVELS] = [16, 3];
const SLOTS = HUES * LEVELS;
const CHROMA = 0.135;
// Against the fields of style.css, each has a contrast of 3 at least.
const LIGHTNESS = { light: [0.42, 0.515, 0.61], dark: [0.6, 0.71, 0.83] };

// The colour map magma at nine evenly spaced values.
const MAGMA = ["#000004", "#1d1147", "#51127c", "#832681", "#b73779", "#e75263", "#fc8961", "#fec488", "#fcfdbf"];

const slots = new Map(); // by the label's name; it keeps its slot as long as the page is open
const isDark = () => Boolean(globalThis.matchMedia?.("(prefers-color-scheme: dark)").matches);

/** The colour of each label of a Result (see server.js) with segments; labels with the most time in segments come first. */
export function coloursOf(result) {
  const seconds = new Map();
  for (const one of result.segments) seconds.set(one.label, (seconds.get(one.label) ?? 0) + one.end - one.start);
  const labels = [...seconds.keys()].sort((a, b) => seconds.get(b) - seconds.get(a));
  return new Map(labels.map((label) => [label, colourOf(label, labels)]));
}

/**
 * The colour of a label: the same in every recording. beside: labels that are shown together with it.
 *
 * A label's name says which slot it prefers, so that it mostly has the same colour on every page. Another one is taken if the
 * slot belongs to a label that came before.
 */
export function colourOf(label, beside = []) {
  const name = nameOf(label);
  if (!slots.has(name)) slots.set(name, freeSlot(hash(name) % SLOTS, beside.map(nameOf)));
  return hex(oklab(slots.get(name), isDark() ? "dark" : "light"));
}

/** Models write the same label in different ways: "Mouse click", "mouse-click". */
function nameOf(label) {
  return label.toLowerCase().replaceAll(/[-_]/g, " ");
}

/** The preferred slot or, if it is taken, the free one that differs most from those of the names beside. */
function freeSlot(preferred, beside) {
  const near = beside.filter((name) => slots.has(name)).map((name) => slots.get(name));
  const taken = new Set(slots.size < SLOTS ? slots.values() : near);
  if (!taken.has(preferred)) return preferred;
  const free = Array.from({ length: SLOTS }, (_, slot) => slot).filter((slot) => !taken.has(slot));
  const apart = (slot) => Math.min(1, ...near.map((other) => distance(oklab(slot, "light"), oklab(other, "light"))));
  return free.reduce((best, slot) => (apart(slot) > apart(best) ? slot : best), free[0] ?? preferred);
}

function distance(one, other) {
  return Math.hypot(...one.map((value, index) => value - other[index]));
}

/** A slot as lightness, a and b of OKLab. Neighbouring levels have their hues half a step apart. */
function oklab(slot, scheme) {
  const level = slot % LEVELS;
  const angle = (2 * Math.PI * (Math.floor(slot / LEVELS) + level / 2 + 0.25)) / HUES;
  return [LIGHTNESS[scheme][level], CHROMA * Math.cos(angle), CHROMA * Math.sin(angle)];
}

/** A colour of OKLab as "#rrggbb", with as much of its chroma as screens have. */
function hex([lightness, a, b]) {
  for (let chroma = 1; ; chroma -= 0.02) {
    const linear = linearRgb(lightness, chroma * a, chroma * b);
    if (chroma > 0 && linear.some((value) => value < 0 || value > 1)) continue;
    const bytes = linear.map((v) => Math.round(255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055)));
    return `#${bytes.map((value) => Math.max(0, Math.min(255, value)).toString(16).padStart(2, "0")).join("")}`;
  }
}

/** The matrices of OKLab's definition (Björn Ottosson, 2020). */
function linearRgb(lightness, a, b) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

/** A number from a text, evenly spread (FNV-1a with 32 bits). */
function hash(text) {
  let value = 0x811c9dc5;
  for (const character of text) value = Math.imul(value ^ character.codePointAt(0), 0x01000193) >>> 0;
  return (value ^ (value >>> 15)) >>> 0;
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
