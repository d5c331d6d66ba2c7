// Where a recording has its sound, and what is wrong with it as an example. `findBursts` is that of rendering/bursts.py,
// whose docstring explains the numbers.

const FRAME_S = 0.01;
const FLOOR_SHARE = 0.1;
const SILENCE_DB = -90;
const SUSTAINED_FRAMES = 5;
const STEADY_DB = 20;
const EDGE = 1 / 3;
const HEIGHT = 1 / 2;

const MARGIN_S = 0.25; // kept on either side of a sound
const PAUSE_S = 0.75; // a longer one divides two sounds
const PIECE_S = 5; // the longest example that is cut from a recording
const QUIET = 0.003; // a peak below it (-50 dB) is no example: the microphone is muted, or far away
const FULL_SCALE = 0.98; // samples beyond it that are all but equal are clipped
const SAME = 1.5 / 32768;
const CLIPPED_RUN = 3; // of them in a row; two may be the peak of a sound that was not clipped
const CLIPPED_SHARE = 0.0005; // of all samples, in such runs
const MIN_S = 0.1; // the shortest example

/** The root mean square of each whole frame of 10 ms, as a Float64Array. */
function frameLevels(waveform, rate) {
  const size = frameSamples(rate);
  const levels = new Float64Array(Math.floor(waveform.length / size));
  for (let frame = 0; frame < levels.length; frame++) {
    let sum = 0;
    for (let i = frame * size; i < (frame + 1) * size; i++) sum += waveform[i] ** 2;
    levels[frame] = Math.sqrt(sum / size);
  }
  return levels;
}

/**
 * The parts of a recording in which its sound is present: [first sample, the one after the last] each, by time; none in a
 * silent recording.
 *
 * @param {Float32Array} waveform
 * @param {number} rate in Hz
 * @param {number} gapSeconds a longer pause divides two bursts
 */
export function findBursts(waveform, rate, gapSeconds = 0.5) {
  const levels = frameLevels(waveform, rate).map((level) => 20 * Math.log10(Math.max(level, 1e-9)));
  const all = [...levels.keys()];
  const there = all.filter((frame) => levels[frame] > SILENCE_DB);
  if (!there.length) return [];
  const floor = quantile(Float64Array.from(there, (frame) => levels[frame]).sort(), FLOOR_SHARE);
  const way = loudest(levels) - floor;
  const steady = way < STEADY_DB;
  const sounding = steady ? there : all.filter((frame) => levels[frame] >= floor + EDGE * way);
  const size = frameSamples(rate);
  const bursts = [];
  for (const frame of sounding) {
    const last = bursts.at(-1);
    if (last && frame - (last.end - 1) <= (gapSeconds * rate) / size) last.end = frame + 1;
    else bursts.push({ first: frame, end: frame + 1 });
  }
  const high = bursts.filter(({ first, end }) => steady || levels.subarray(first, end).some((level) => level >= floor + HEIGHT * way));
  return high.map(({ first, end }) => [first * size, end * size]);
}

/**
 * What of a recording becomes examples: [first sample, the one after the last] each. An example has one sound with what is
 * around it, up to the length of a window: that is what the model sees later on, be it a pause or the next sound of the kind.
 * A longer sound becomes several examples.
 *
 * @param {Float32Array} waveform
 * @param {number} rate in Hz
 * @param {number} windowSeconds
 */
export function examplesIn(waveform, rate, windowSeconds) {
  const margin = Math.round(MARGIN_S * rate);
  const shortest = Math.round(windowSeconds * rate);
  return findBursts(waveform, rate, PAUSE_S).flatMap(([first, end]) => {
    const around = Math.max(margin, Math.ceil((shortest - (end - first)) / 2));
    let from = Math.max(0, first - around);
    const to = Math.min(waveform.length, Math.max(end + around, from + shortest));
    from = Math.max(0, Math.min(from, to - shortest));
    return pieces(from, to, rate);
  });
}

/** A stretch in pieces of equal lengths, of 5 s at most. */
export function pieces(from, to, rate) {
  const count = Math.max(1, Math.ceil((to - from) / (PIECE_S * rate) - 1e-6));
  const bound = (index) => from + Math.round(((to - from) * index) / count);
  return Array.from({ length: count }, (_, index) => [bound(index), bound(index + 1)]);
}

/** What keeps a recording from being an example, in words; null if nothing does. */
export function refusalOf(waveform, rate) {
  if (waveform.length < MIN_S * rate) return "is shorter than a tenth of a second";
  if (peakOf(waveform) < QUIET) return "is silent, or all but silent: check the microphone, and record it louder or closer";
  return null;
}

/** Whether it was too loud for what recorded it, so that its peaks are cut off. */
export function isClipped(waveform) {
  let [clipped, run, before] = [0, 0, 0];
  for (const value of waveform) {
    if (Math.abs(value) < FULL_SCALE) run = 0;
    else run = Math.abs(value - before) <= SAME ? run + 1 : 1;
    before = value;
    if (run === CLIPPED_RUN) clipped += CLIPPED_RUN;
    else if (run > CLIPPED_RUN) clipped++;
  }
  return clipped > Math.max(2 * CLIPPED_RUN, CLIPPED_SHARE * waveform.length);
}

export function peakOf(waveform) {
  let peak = 0;
  for (const value of waveform) peak = Math.max(peak, Math.abs(value));
  return peak;
}

/** The highest level of each of so many equal parts, of the highest of all, for a small picture: numbers of 0 to 1. */
export function outline(waveform, parts) {
  const found = Array.from({ length: parts }, (_, index) => {
    const [from, to] = [index, index + 1].map((one) => Math.floor((one * waveform.length) / parts));
    return peakOf(waveform.subarray(from, Math.max(from + 1, to)));
  });
  const highest = Math.max(...found) || 1;
  return found.map((level) => level / highest);
}

function frameSamples(rate) {
  return Math.max(1, Math.round(FRAME_S * rate));
}

/** Of sorted values, as numpy's quantile. */
function quantile(sorted, share) {
  const position = (sorted.length - 1) * share;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/** The highest mean power over some frames, in dB. */
function loudest(levels) {
  const count = Math.min(SUSTAINED_FRAMES, levels.length);
  const power = levels.map((level) => 10 ** (level / 10));
  let most = 0;
  for (let at = 0; at + count <= power.length; at++) {
    let sum = 0;
    for (let i = at; i < at + count; i++) sum += power[i];
    most = Math.max(most, sum / count);
  }
  return 10 * Math.log10(most);
}
