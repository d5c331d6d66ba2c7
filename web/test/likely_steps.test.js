import assert from "node:assert/strict";
import { test } from "node:test";
import { segmentsAt } from "../../src/audioinceptionnext/page/likely_steps.js";
import { LikelyStepsCollector } from "../src/likely_steps.js";
import { roundSegment } from "../src/recogniser.js";
import { ownSettings, Segmenter } from "../src/segmentation.js";

const [STEP, WINDOW, CLASSES] = [0.05, 0.05, 7];

/** The same numbers each time, 0 to 1. */
function* random() {
  for (let state = 7; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

function recording(steps) {
  const numbers = random();
  const draw = () => numbers.next().value;
  const rows = Array.from({ length: steps }, () => Float32Array.from({ length: CLASSES }, () => 0.02 * draw()));
  for (let column = 0; column < CLASSES - 1; column++) {
    for (let count = 0; count < 12; count++) {
      const [first, length, height] = [Math.floor(draw() * steps), Math.floor(draw() * 80), draw()];
      for (let at = first; at < Math.min(steps, first + length); at++) rows[at][column] = height * (0.3 + 0.7 * draw());
    }
  }
  return rows;
}

const LABELS = Array.from({ length: CLASSES }, (_, n) => `label ${n}`);
const STATED = [
  {},
  { offset_share: 0.2, smoothing: 0, min_duration: 0.1, merge_gap: 0.8 },
  { smoothing: LABELS.map((_, n) => 0.2 * n), min_duration: LABELS.map((_, n) => 0.05 * n), merge_gap: 3 },
];

for (const steps of [1, 64, 65, 1500])
  test(`segments of ${steps} steps at other thresholds are those of all probabilities`, () => {
    const rows = recording(steps);
    const duration = steps * STEP;
    for (const stated of STATED) {
      const settings = ownSettings([], stated);
      const collector = new LikelyStepsCollector(LABELS, settings, STEP, WINDOW);
      for (let at = 0; at < steps; at += 100) collector.add(rows.slice(at, at + 100));
      const likely = collector.finish(duration);
      assert.equal(likely.lowest, 0.05);
      assert.ok(!likely.labels.includes(LABELS.at(-1))); // which is never likely
      for (const onset of [0.05, 0.3, 0.5, 0.9]) {
        const share = settings.offsetThreshold / settings.onsetThreshold;
        const at = { ...settings, onsetThreshold: onset, offsetThreshold: share * onset };
        const wanted = new Segmenter(LABELS, at, STEP, WINDOW).finish(rows, duration).map(roundSegment);
        assert.deepEqual(segmentsAt(likely, onset), wanted);
      }
    }
  });

test("what is too much begins at a higher threshold, or is left out", () => {
  const collector = new LikelyStepsCollector(LABELS, ownSettings([], {}), STEP, WINDOW);
  const rows = Array.from({ length: 1000 }, () => Float32Array.from({ length: CLASSES }, (_, n) => 0.1 * (n + 1)));
  for (let count = 0; count < 700; count++) collector.add(rows); // 4.9 million values
  const likely = collector.finish(700_000 * STEP);
  assert.ok(likely.lowest > 0.05 && likely.data.length <= 4_000_000);
  const labels = segmentsAt(likely, likely.lowest).map(({ label }) => label);
  assert.deepEqual(
    labels,
    LABELS.filter((_, n) => 0.1 * (n + 1) >= likely.lowest),
  );
});
