// What the bare file gives in the browser's ONNX Runtime is what it gives in Python's: nothing is computed around it.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as ort from "onnxruntime-web/wasm";
import { shippedModels } from "../scripts/models.js";
import { fixtures, largestDifference } from "./fixtures.js";

const TOLERANCE = 1e-5;
ort.env.wasm.numThreads = 1; // node cannot start more
const { json, waveform } = fixtures("models");
const expected = json("probabilities.json");

for (const { entry, content } of shippedModels()) {
  test(`the file of ${entry.name} gives the probabilities of Python`, async (context) => {
    const session = await ort.InferenceSession.create(content, { logSeverityLevel: 4 });
    for (const [kind, rows] of Object.entries(expected[entry.name])) {
      const samples = waveform(`${entry.sample_rate}-${kind}.f32`);
      const input = new ort.Tensor("float32", samples, [1, samples.length]);
      const { probabilities } = await session.run({ waveform: input }, ["probabilities"]);
      assert.deepEqual(probabilities.dims, [1, rows.length, entry.labels.length]);
      const difference = largestDifference([...probabilities.data], rows.flat());
      context.diagnostic(`${entry.name}, ${kind}: ${rows.length} steps differ by at most ${difference.toExponential(1)}`);
      assert.ok(difference < TOLERANCE, `${kind}: ${difference}`);
      if (kind === "zeros") assert.ok(probabilities.data.every((value) => value === 0));
    }
    await session.release();
  });
}
