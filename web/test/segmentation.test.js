import assert from "node:assert/strict";
import { test } from "node:test";
import { roundScores, roundTo } from "../src/numbers.js";
import { Segmenter } from "../src/segmentation.js";
import { fixtures } from "./fixtures.js";

const cases = fixtures("segmentation").json("cases.json");

/** {min_duration: 0.3} -> {minDuration: 0.3}. */
function camelCase(settings) {
  const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [camel(name), value]));
}

function assertSegments(found, expected, message) {
  assert.equal(found.length, expected.length, message);
  found.forEach((one, index) => {
    assert.equal(one.label, expected[index].label, message);
    for (const key of ["start", "end", "score"]) assert.ok(Math.abs(one[key] - expected[index][key]) < 1e-6, message);
  });
}

test("segments of random probabilities are those of Python", () => {
  let total = 0;
  cases.forEach(({ rows, step_seconds, window_seconds, duration, labels, settings, whole }, index) => {
    const floats = rows.map((row) => Float32Array.from(row));
    const found = new Segmenter(labels, camelCase(settings), step_seconds, window_seconds).finish(floats, duration);
    assertSegments(found, whole, `case ${index}`);
    total += found.length;
  });
  assert.ok(total > 500, `${total} segments`);
});

test("segments are complete at the same step as in Python", () => {
  cases.forEach(({ rows, step_seconds, window_seconds, duration, labels, settings, rest, live, open }, index) => {
    const floats = rows.map((row) => Float32Array.from(row));
    const segmenter = new Segmenter(labels, camelCase(settings), step_seconds, window_seconds);
    const whole = floats.length - rest;
    floats.slice(0, whole).forEach((row, step) => {
      assertSegments(segmenter.push(row), live[step], `case ${index}, ${step}`);
      assertSegments(segmenter.openSegments(), open[step], `case ${index}, open at ${step}`);
    });
    assertSegments(segmenter.finish(floats.slice(whole), duration), live[whole], `case ${index}, the end`);
    assertSegments(segmenter.openSegments(), open[whole], `case ${index}, open at the end`);
  });
});

test("numbers are rounded as in Python", () => {
  const pairs = [
    [0.0625, 3, 0.062],
    [0.1875, 3, 0.188],
    [2.675, 2, 2.67],
    [29.0, 3, 29],
    [0.03125, 4, 0.0312],
  ];
  for (const [value, decimals, expected] of pairs) assert.equal(roundTo(value, decimals), expected);
  assert.deepEqual(roundScores([0.6, 0.3, 0.1]), [0.6, 0.3, 0.0999]);
  assert.deepEqual(roundScores([1, 0, 0]), [1, 0, 0]);
});
