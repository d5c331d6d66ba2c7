import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream } from "../src/stream.js";
import { apart, fixtures, pieces, recogniser } from "./fixtures.js";

const { json, sound } = fixtures("live");

for (const [name, expected] of Object.entries(json("answers.json"))) {
  const [model, rate] = name.split(" ");
  test(`a stream of ${name} Hz in odd pieces answers as Python's`, async (context) => {
    const listener = await recogniser(model);
    const stream = new Stream(listener, Number(rate));
    const found = [];
    for (const piece of pieces(sound(`${rate}.f32`), [128, 1, 4096, 30011, 7, 99991])) {
      found.push(...(await stream.push(piece)));
      assert.ok(stream.held <= stream.grid.clip + stream.grid.step + 1, "memory stays that of a clip");
    }
    found.push(...(await stream.finish()));
    await listener.close();
    assert.equal(found.length, expected.length);
    const most = Math.max(...found.map((answer, index) => compare(answer, expected[index], listener.labels)));
    context.diagnostic(`${name}: ${found.length} answers, scores apart by ${most.toExponential(1)}`);
  });
}

/** The largest difference of scores; everything else has to be equal. */
function compare(answer, expected, labels) {
  assert.equal(answer.label, expected.label);
  assert.equal(answer.top.length, 5);
  assert.ok(apart([answer.start, answer.end], [expected.start, expected.end]) < 0.0006);
  assert.deepEqual(
    answer.segments.map((one) => one.label),
    expected.segments.map((one) => one.label),
  );
  const differences = answer.top.map((one) => Math.abs(one.score - expected.probabilities[labels.indexOf(one.label)]));
  answer.segments.forEach((segment, index) => {
    const other = expected.segments[index];
    assert.ok(apart([segment.start, segment.end], [other.start, other.end]) < 0.0006);
    differences.push(Math.abs(segment.score - other.score));
  });
  const levels = expected.log_mel.flat().map((value) => ((value + 11.5) / 14) * 255);
  const drawn = answer.log_mel ? [...answer.log_mel.data] : [];
  assert.ok(
    apart(
      drawn,
      levels.map((level) => Math.max(0, Math.min(255, level))),
    ) < 0.6,
    "the log-mel is another",
  );
  const most = Math.max(...differences);
  assert.ok(most < 1e-3, `${most}`);
  return most;
}

test("no sound gives no answer", async () => {
  const listener = await recogniser("kitchen20-small");
  assert.deepEqual(await new Stream(listener, 48000).finish(), []);
});
