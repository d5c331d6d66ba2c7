// What the page learns from examples is what `ainext teach` learns from them, and so is the file that it makes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web/wasm";
import { examplesIn, findBursts, isClipped, pieces, refusalOf } from "../../src/audioinceptionnext/page/teach_sound.js";
import { shippedModel } from "../scripts/models.js";
import { Recogniser } from "../src/recogniser.js";
import { embed } from "../src/teach-features.js";
import { readMetadata, withNewHead } from "../src/teach-file.js";
import { fields } from "../src/teach-protobuf.js";
import { fitHead, foldNumbers } from "../src/teach-head.js";
import { blocks, fixtures, largestDifference, recogniser as openRecogniser } from "./fixtures.js";

const { folder, json, waveform } = fixtures("teaching");

test("a recording has its sound where Python finds it", () => {
  const { rate, cases } = json("bursts.json");
  for (const [number, { gap, bursts }] of cases.entries()) {
    assert.deepEqual(findBursts(waveform(`bursts-${number}.f32`), rate, gap), bursts, `case ${number}`);
  }
  assert.ok(cases.some(({ bursts }) => bursts.length > 1) && cases.some(({ bursts }) => !bursts.length));
});

/** Soft noise with a tone at each of these seconds. */
function recording(seconds, tones, rate = 8000) {
  const found = Float32Array.from({ length: seconds * rate }, (_, i) => 0.001 * Math.sin(i * i));
  for (const [start, length] of tones)
    for (let i = 0; i < length * rate; i++) found[start * rate + i] += 0.3 * Math.sin(i);
  return found;
}

test("each sound of a recording becomes an example with what is around it", () => {
  const found = examplesIn(recording(12, [[1, 0.5], [4, 0.5], [10, 0.5]]), 8000, 2.4); // prettier-ignore
  assert.equal(found.length, 3);
  for (const [[from, to], start] of found.map((one, index) => [one, [1, 4, 10][index] * 8000])) {
    assert.ok(from <= start - 0.24 * 8000 && to >= start + 0.74 * 8000, `${from} to ${to}`);
    assert.ok(Math.abs((to - from) / 8000 - 2.4) < 0.01);
  }
  const close = examplesIn(recording(4, [[0.1, 0.2], [1.9, 0.2]]), 8000, 2.4); // prettier-ignore
  assert.deepEqual(close.map(([from, to]) => (to - from) / 8000), [2.4, 2.4]); // prettier-ignore
  assert.equal(close[0][0], 0);
  assert.deepEqual(examplesIn(new Float32Array(8000), 8000, 2.4), []);
  assert.deepEqual(examplesIn(recording(1, [[0, 1]]), 8000, 2.4), [[0, 8000]]);
});

test("what is long becomes pieces of equal lengths", () => {
  assert.deepEqual(pieces(0, 60, 1), Array.from({ length: 12 }, (_, i) => [5 * i, 5 * i + 5]));
  assert.deepEqual(pieces(10, 17, 1).length, 2);
  assert.equal(examplesIn(recording(20, [[0, 20]]), 8000, 2.4).length, 4);
});

test("silence and what is too short are refused, and clipping is seen", () => {
  assert.match(refusalOf(new Float32Array(8000), 8000), /silent/);
  assert.match(refusalOf(new Float32Array(700).fill(0.5), 8000), /shorter/);
  const loud = Float32Array.from({ length: 8000 }, (_, i) => 3 * Math.sin(i / 20));
  assert.equal(refusalOf(loud, 8000), null);
  assert.ok(isClipped(loud.map((value) => Math.max(-1, Math.min(1, value)))));
  assert.ok(!isClipped(loud.map((value) => value / 3)));
});

test("a layer that is fitted here is the one that Python fits", (context) => {
  for (const [number, wanted] of json("heads.json").entries()) {
    const { classes, folds, sources } = wanted;
    assert.deepEqual(foldNumbers(classes, sources), folds);
    const [features, others] = [wanted.features, wanted.others].map((rows) => rows.map((row) => Float64Array.from(row)));
    const examples = features.map((row, index) => ({ features: row, class: classes[index], fold: folds[index] }));
    const found = fitHead(examples, 4, others, 6);
    const logits = (row) =>
      Array.from(found.bias, (bias, column) =>
        row.reduce((sum, value, channel) => sum + value * found.weight[channel * found.columns + column], bias),
      );
    const shares = features.map((row) => softmax(logits(row)));
    const largest = Math.max(...shares.map((row, index) => largestDifference(row, wanted.probabilities[index])));
    context.diagnostic(`case ${number}: probabilities differ by at most ${largest.toExponential(1)}, ${(100 * found.top1).toFixed(1)} % right`);
    assert.ok(largest < 1e-4);
    assert.ok(largestDifference([found.top1, found.threshold, ...found.perClass], [wanted.top1, wanted.threshold, ...wanted.per_class]) < 1e-9);
    assert.deepEqual(found.confusions, wanted.confusions);
  }
});

function softmax(logits) {
  const powers = logits.map((value) => Math.exp(value - Math.max(...logits)));
  return powers.map((value) => value / powers.reduce((sum, one) => sum + one, 0));
}

test("a file that is made here is the one that Python makes", async (context) => {
  for (const [number, wanted] of json("files.json").entries()) {
    const base = wanted.model ? shippedModel(wanted.model).content : readFileSync(join(folder, "0.onnx"));
    const head = { weight: Float32Array.from(wanted.weight), bias: Float32Array.from(wanted.bias), columns: wanted.columns, threshold: 0.75 };
    const { content, metadata } = withNewHead(base, head, wanted.labels, "mine", { clips: 12 });
    const parsed = (one) => Object.fromEntries(Object.entries(one).map(([key, value]) => [key, /^[[{]/.test(value) ? JSON.parse(value) : value]));
    assert.deepEqual(parsed(metadata), parsed(wanted.metadata));
    assert.deepEqual(metadata, readMetadata(content));
    const byPython = readFileSync(join(folder, `${number}.onnx`));
    const [graph, expected] = [content, byPython].map((file) => [...fields(file)].find((one) => one.number === 7).value);
    assert.equal(Buffer.compare(graph, expected), 0, "the graphs differ");
    if (!wanted.probabilities) continue; // its network takes long
    const recogniser = await Recogniser.open("mine", metadata, content);
    const samples = waveform("files.f32");
    const { probabilities } = await recogniser.session.run({ waveform: new ort.Tensor("float32", samples, [1, samples.length]) }, ["probabilities"]);
    const largest = largestDifference([...probabilities.data], wanted.probabilities.flat());
    assert.ok(wanted.probabilities[0].some(Boolean) && !wanted.probabilities.at(-1).some(Boolean)); // it ends with silence
    context.diagnostic(`${wanted.model || "a taught model"}: probabilities differ by at most ${largest.toExponential(1)}`);
    assert.ok(largest < 1e-5);
    await recogniser.close();
  }
});

test("what is no model is refused in one line", () => {
  const head = { weight: new Float32Array(6), bias: new Float32Array(2), columns: 2, threshold: 0.5 };
  assert.throws(() => withNewHead(new TextEncoder().encode("no model at all"), head, ["a"], "mine", {}), /cannot be taught/);
  assert.throws(() => withNewHead(shippedModel("digits").content, head, ["a"], "mine", {}), /another size than the 3/);
});

test("the vectors of a recording are those of Python", async (context) => {
  for (const [name, wanted] of Object.entries(json("features.json"))) {
    const recogniser = await openRecogniser(name.split("_")[0]);
    const { features } = await embed(recogniser, blocks(waveform(`features-${name}.f32`), [70001, 999]));
    assert.equal(features.length, wanted.length);
    const highest = Math.max(...wanted.flat().map(Math.abs));
    const largest = Math.max(...features.map((row, index) => largestDifference([...row], wanted[index]))) / highest;
    context.diagnostic(`${name}: ${features.length} vectors differ by at most ${largest.toExponential(1)} of the highest number`);
    assert.ok(largest < 1e-4);
    await recogniser.close();
  }
});
