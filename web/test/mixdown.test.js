import assert from "node:assert/strict";
import { test } from "node:test";
import { Mixdown } from "../../src/audioinceptionnext/page/mixdown.js";
import { concatenate } from "../src/numbers.js";
import { fixtures, largestDifference } from "./fixtures.js";

const { json, waveform } = fixtures("mixing");

for (const { name, count, rate, warning, replaced } of json("cases.json")) {
  test(`mixing ${name} as Python does`, () => {
    const samples = waveform(`${name}.in`);
    const length = samples.length / count;
    const channels = Array.from({ length: count }, (_, channel) => samples.subarray(channel * length, (channel + 1) * length));
    for (const sizes of [[length], [1, 128, 7, 1024, 333]]) {
      const warnings = [];
      const mixdown = new Mixdown((line) => warnings.push(line));
      const parts = [];
      for (let at = 0, turn = 0; at < length; at += sizes[turn++ % sizes.length]) {
        const end = at + sizes[turn % sizes.length];
        parts.push(mixdown.mix(channels.map((channel) => channel.subarray(at, end)), rate));
      }
      const found = concatenate(parts);
      const skipped = sizes.length > 1 ? 0.06 * rate : 0; // a part of the first cell may decide otherwise
      const difference = largestDifference(found.subarray(skipped), waveform(`${name}.out`).subarray(skipped));
      assert.ok(difference < 1e-6, `${name}: ${difference}`);
      assert.ok(Math.abs(mixdown.replaced - replaced) < 0.06, `${mixdown.replaced} s, not ${replaced} s`);
      assert.equal(mixdown.warning()?.split(" for ")[0], warning?.split(" for ")[0]);
      assert.equal(warnings.length, Number(mixdown.replaced > 1));
    }
  });
}
