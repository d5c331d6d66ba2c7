import assert from "node:assert/strict";
import { test } from "node:test";
import { concatenate } from "../src/numbers.js";
import { finite, Resampler } from "../src/resample.js";
import { blocks, fixtures, largestDifference } from "./fixtures.js";

const { json, waveform } = fixtures("resampling");

for (const { name, rate } of json("cases.json")) {
  test(`resampling ${name} to 24 kHz as FFmpeg does`, (context) => {
    const input = waveform(`${name}.in`);
    const expected = waveform(`${name}.out`);
    for (const sizes of [[input.length], [1, 128, 7, 1024, 0, 333]]) {
      const resampler = new Resampler(rate, 24000);
      const parts = [
        ...blocks(
          input,
          sizes.filter((size) => size > 0),
        ),
      ].map((block) => resampler.push(block));
      const found = concatenate([...parts, resampler.finish()]);
      const difference = largestDifference(found, expected);
      context.diagnostic(`${name}: largest difference ${difference.toExponential(1)}`);
      assert.ok(difference < 1e-5, `${name}: ${difference}, ${found.length} of ${expected.length} samples`);
    }
  });
}

test("damaged values count as 0", () => {
  assert.deepEqual([...finite([1, NaN, Infinity, 2e6, -0.5])], [1, 0, 0, 0, -0.5]);
});
