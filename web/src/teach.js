// Teaches a model sounds: examples -> a new last layer -> a file. src/audioinceptionnext/teaching/teach.py.

import { featuresOf } from "./teach-features.js";
import { withNewHead } from "./teach-file.js";
import { fitHead, foldNumbers } from "./teach-head.js";

const NOTHING = "nothing"; // the label of what is to get no label
const OTHER_S = 2.4; // of each sound in the file of other sounds
const NOISES = 12; // of these, which come first

/**
 * What a model's last layer gets of sounds that are none of the labels: src/audioinceptionnext/teaching/others.py.
 *
 * @param {Recogniser} recogniser
 * @param {Float32Array} waveform of all of these sounds, at its rate
 */
export async function otherFeatures(recogniser, waveform) {
  const size = Math.round(OTHER_S * recogniser.sampleRate);
  const found = [];
  for (let start = 0; start < waveform.length - Math.floor(size / 2); start += size)
    found.push(...(await featuresOf(recogniser, waveform.slice(start, start + size))));
  return found;
}

/**
 * Teaches a model sounds.
 *
 * @param {Uint8Array} content the file of the model whose features these are
 * @param {{name: string, from: string, examples: {label: string, features: Float64Array[], source: string}[],
 *   others: Float64Array[]}} lesson name: of the new model; from: that of the old one; source: what they were cut from
 * @returns {object} what `teach` of page/server.js gives, and the new file's `content` and `metadata`
 * @throws {Error} one line: nothing can be learnt from these examples
 */
export function teach(content, { name, from, examples, others }) {
  const start = performance.now();
  const labels = [...new Set(examples.map(({ label }) => label))].filter((label) => label !== NOTHING);
  const classOf = (label) => labels.indexOf(label); // -1 for none
  const folds = foldNumbers(
    examples.flatMap(({ label, features }) => features.map(() => classOf(label))),
    examples.flatMap(({ source, features }) => features.map(() => source)),
  );
  const rows = examples.flatMap(({ label, features }) => features.map((one) => ({ features: one, class: classOf(label) })));
  const head = fitHead(
    rows.map((row, index) => ({ ...row, fold: folds[index] })),
    labels.length,
    others,
    NOISES,
  );
  const classes = head.confusions.length > labels.length ? [...labels, NOTHING] : labels;
  const named = (values) => Object.fromEntries(classes.map((label, index) => [label, values[index]]));
  const [clips, top1] = [examples.length, percent(head.top1)];
  const made = withNewHead(content, head, labels, name, {
    data: "page",
    taught_from: from,
    clips: named(classes.map((label) => examples.filter((one) => one.label === label).length)),
    top1,
    measured: `top-1 ${top1.toFixed(1)} %, cross-validated on the ${clips} clips that it was taught from`,
    date: new Date().toISOString().slice(0, 10),
  });
  const seconds = (performance.now() - start) / 1000;
  const figures = { clips, classes: classes.length, top1, per_class: named(head.perClass.map(percent)) };
  return { model: name, ...figures, confusions: named(head.confusions.map(named)), threshold: head.threshold, seconds, ...made };
}

/** 0.98765 -> 98.77 */
function percent(share) {
  return Math.round(10000 * share) / 100;
}
