import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream } from "../src/stream.js";
import { compareStream } from "./compare.js";
import { blocks, fixtures, recogniser as openRecogniser } from "./fixtures.js";

const { json, waveform } = fixtures("live");

for (const [name, expected] of Object.entries(json("steps.json"))) {
  const [model, rate] = name.split(" ");
  test(`a stream of ${name} Hz in odd blocks gives the steps of Python`, async (context) => {
    const recogniser = await openRecogniser(model);
    const pushed = blocks(waveform(`${rate}.f32`), [128, 1, 4096, 30011, 7, 99991]);
    await compareStream(context, new Stream(recogniser, Number(rate)), pushed, expected, name);
    await recogniser.close();
  });
}

test("no samples give no step", async () => {
  const recogniser = await openRecogniser("kitchen20-small");
  assert.deepEqual(await new Stream(recogniser, 48000).finish(), []);
});
