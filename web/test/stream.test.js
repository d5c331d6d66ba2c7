import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream } from "../src/stream.js";
import { blocks, fixtures, largestDifference, recogniser as openRecogniser } from "./fixtures.js";

const { json, waveform } = fixtures("live");

for (const [name, expected] of Object.entries(json("steps.json"))) {
  const [model, rate] = name.split(" ");
  test(`a stream of ${name} Hz in odd blocks gives the steps of Python`, async (context) => {
    const recogniser = await openRecogniser(model);
    const stream = new Stream(recogniser, Number(rate));
    const found = [];
    for (const block of blocks(waveform(`${rate}.f32`), [128, 1, 4096, 30011, 7, 99991])) {
      found.push(...(await stream.push(block)));
      const { before, lookahead, steps } = stream.live;
      const most = before + stream.grid.clip + lookahead + steps * stream.grid.step;
      assert.ok(stream.held <= most, "memory stays that of a few windows");
    }
    found.push(...(await stream.finish()));
    await recogniser.close();
    assert.equal(found.length, expected.length);
    const largest = Math.max(...found.map((step, index) => compare(step, expected[index], recogniser.labels)));
    context.diagnostic(`${name}: ${found.length} steps, scores differ by at most ${largest.toExponential(1)}`);
  });
}

/** The largest difference of scores; everything else has to be equal. */
function compare(step, expected, labels) {
  assert.equal(step.label, expected.label);
  assert.deepEqual(Object.keys(step.probabilities), labels);
  assert.ok(largestDifference([step.start, step.end], [expected.start, expected.end]) < 0.0006);
  assert.deepEqual(
    step.segments.map((one) => one.label),
    expected.segments.map((one) => one.label),
  );
  const differences = Object.values(step.probabilities).map((score, index) => Math.abs(score - expected.probabilities[index]));
  step.segments.forEach((segment, index) => {
    const other = expected.segments[index];
    assert.ok(largestDifference([segment.start, segment.end], [other.start, other.end]) < 0.0006);
    differences.push(Math.abs(segment.score - other.score));
  });
  const levels = expected.log_mel.flat().map((value) => ((value + 11.5) / 14) * 255);
  const data = step.log_mel ? [...step.log_mel.data] : [];
  assert.ok(
    largestDifference(
      data,
      levels.map((level) => Math.max(0, Math.min(255, level))),
    ) < 0.6,
    "the log-mel differs",
  );
  const largest = Math.max(...differences);
  assert.ok(largest < 1e-3, `${largest}`);
  return largest;
}

test("no samples give no step", async () => {
  const recogniser = await openRecogniser("kitchen20-small");
  assert.deepEqual(await new Stream(recogniser, 48000).finish(), []);
});
