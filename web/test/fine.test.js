// A model with a fine timeline, with and without settings of its own for the segments, gives what it gives in Python.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Recogniser } from "../src/recogniser.js";
import { Stream } from "../src/stream.js";
import { readMetadata } from "../src/teach-file.js";
import { comparePrediction, compareStream } from "./compare.js";
import { blocks, fixtures } from "./fixtures.js";

const { folder, json, waveform } = fixtures("fine");
const [results, steps] = [json("results.json"), json("steps.json")];

for (const model of ["fine", "fine-plain"]) {
  const content = readFileSync(join(folder, `${model}.onnx`));
  const open = () => Recogniser.open(model, readMetadata(content), content);

  test(`${model} recognises what it recognises in Python`, async (context) => {
    const recogniser = await open();
    for (const [name, expected] of Object.entries(results[model])) {
      const input = blocks(waveform(`${name}.f32`), [70001, 1e6]);
      await comparePrediction(context, recogniser, input, expected, `${model} ${name}`);
    }
    await recogniser.close();
  });

  test(`a stream of ${model} in odd blocks gives the steps of Python`, async (context) => {
    const recogniser = await open();
    for (const [rate, expected] of Object.entries(steps[model])) {
      const pushed = blocks(waveform(`${rate}.f32`), [128, 1, 4096, 30011, 7, 99991]);
      await compareStream(context, new Stream(recogniser, Number(rate)), pushed, expected, `${model} ${rate}`);
    }
    await recogniser.close();
  });
}

test("what a file states changes the segments", () => {
  const [stated, plain] = ["fine", "fine-plain"].map((model) => results[model].long);
  assert.deepEqual(stated.probabilities, plain.probabilities);
  assert.notDeepEqual(stated.segments, plain.segments);
  assert.ok(Math.min(stated.segments.length, plain.segments.length) > 20);
});
