import assert from "node:assert/strict";
import { test } from "node:test";
import { findSegments, Segmenter } from "../src/timeline.js";
import { rounded, roundedScores } from "../src/numbers.js";
import { fixtures } from "./fixtures.js";

const cases = fixtures("timelines").json("cases.json");

function asserted(found, expected, message) {
  assert.equal(found.length, expected.length, message);
  found.forEach((one, index) => {
    assert.equal(one.label, expected[index].label, message);
    for (const key of ["start", "end", "score"]) assert.ok(Math.abs(one[key] - expected[index][key]) < 1e-6, message);
  });
}

test("segments of random probabilities are Python's", () => {
  let all = 0;
  cases.forEach(({ rows, hop, window, duration, labels, settings, whole }, index) => {
    const floats = rows.map((row) => Float32Array.from(row));
    const found = findSegments(floats, hop, window, duration, labels, { ...settings, byClass: settings.by_class });
    asserted(found, whole, `case ${index}`);
    all += found.length;
  });
  assert.ok(all > 500, `${all} segments`);
});

test("segments come at the same step as Python's", () => {
  cases.forEach(({ rows, hop, window, duration, labels, settings, rest, live }, index) => {
    const floats = rows.map((row) => Float32Array.from(row));
    const segmenter = new Segmenter(labels, { ...settings, byClass: settings.by_class }, hop, window);
    const whole = floats.length - rest;
    floats.slice(0, whole).forEach((row, step) => asserted(segmenter.push(row), live[step], `case ${index}, ${step}`));
    asserted(segmenter.finish(floats.slice(whole), duration), live[whole], `case ${index}, the end`);
  });
});

test("numbers are rounded as Python rounds them", () => {
  const pairs = [
    [0.0625, 3, 0.062],
    [0.1875, 3, 0.188],
    [2.675, 2, 2.67],
    [29.0, 3, 29],
    [0.03125, 4, 0.0312],
  ];
  for (const [value, decimals, expected] of pairs) assert.equal(rounded(value, decimals), expected);
  assert.deepEqual(roundedScores([0.6, 0.3, 0.1]), [0.6, 0.3, 0.0999]);
  assert.deepEqual(roundedScores([1, 0, 0]), [1, 0, 0]);
});
