// Compares what the browser's recogniser gives with what Python gave (outcomes.py).

import assert from "node:assert/strict";
import { StepPredictor } from "../src/steps.js";
import { largestDifference } from "./fixtures.js";

const TOLERANCE = 1e-3;
const labels = (list) => list.map((one) => one.label);
const scores = (list) => list.map((one) => one.score);
const bounds = (list) => list.flatMap((one) => [one.start, one.end]);

/** Predicts a recording and compares the result and the probabilities of all steps. input: its blocks. */
export async function comparePrediction(context, recogniser, input, expected, message) {
  const { result, rows } = await predict(recogniser, input);
  compareResult(context, result, expected, message);
  assert.equal(rows.length, expected.probabilities.length, message);
  const largest = Math.max(...rows.map((row, step) => largestDifference(row, expected.probabilities[step])));
  context.diagnostic(`${message}: probabilities of ${rows.length} steps differ by at most ${largest.toExponential(1)}`);
  assert.ok(largest < TOLERANCE, `${message}: probabilities differ by ${largest}`);
}

/** The result of a recogniser with the probabilities of each step, which it does not keep itself. */
async function predict(recogniser, input) {
  const { predictor } = recogniser;
  const rows = [];
  predictor.predictBlocks = async function* (blocks) {
    for await (const prediction of StepPredictor.prototype.predictBlocks.call(predictor, blocks)) {
      rows.push(...prediction.rows);
      yield prediction;
    }
  };
  return { result: await recogniser.predict("", input), rows };
}

function compareResult(context, result, expected, message) {
  assert.equal(result.duration, expected.duration, message);
  const seconds = [result.stepSeconds, result.windowSeconds];
  assert.deepEqual(seconds, [expected.step_seconds, expected.window_seconds], message);
  assert.equal(result.segments.length, expected.segments.length, message);
  assert.deepEqual(labels(result.segments), labels(expected.segments), message);
  assert.deepEqual(labels(result.clip), labels(expected.clip), message);
  assert.deepEqual(bounds(result.segments), bounds(expected.segments), message);
  const largest = Math.max(
    largestDifference(scores(result.clip), scores(expected.clip)),
    largestDifference(scores(result.segments), scores(expected.segments)),
  );
  const { columns, bands, low, high, data } = result.log_mel;
  assert.deepEqual([columns, bands], expected.thumbnail.shape, message);
  assert.ok(largestDifference([low, high], expected.thumbnail.percentiles) < 0.01, message);
  assert.equal(data.length, columns * bands);
  context.diagnostic(`${message}: ${result.segments.length} segments, scores differ by ${largest.toExponential(1)}`);
  assert.ok(largest < TOLERANCE, `${message}: ${largest}`);
}

/** Pushes blocks to a stream and compares all its steps, and how much it holds. */
export async function compareStream(context, stream, blocks, expected, message) {
  const found = [];
  const { before, lookahead, steps, stride } = stream.live;
  const most = before + stride + stream.grid.clip + lookahead + steps * stream.grid.step;
  for (const block of blocks) {
    found.push(...(await stream.push(block)));
    assert.ok(stream.held <= most, "memory stays that of a few windows");
  }
  found.push(...(await stream.finish()));
  assert.equal(found.length, expected.length);
  const names = stream.recogniser.labels;
  const largest = Math.max(...found.map((step, index) => compareStep(step, expected[index], names)));
  context.diagnostic(`${message}: ${found.length} steps, scores differ by at most ${largest.toExponential(1)}`);
}

/** The largest difference of scores; everything else has to be equal. */
function compareStep(step, expected, names) {
  assert.equal(step.label, expected.label);
  assert.deepEqual(Object.keys(step.probabilities), names);
  assert.ok(largestDifference([step.start, step.end], [expected.start, expected.end]) < 0.0006);
  const differences = Object.values(step.probabilities).map((score, index) => Math.abs(score - expected.probabilities[index]));
  for (const kind of ["segments", "open"]) {
    assert.deepEqual(labels(step[kind]), labels(expected[kind]), `${kind} at ${step.end} s`);
    assert.ok(largestDifference(bounds(step[kind]), bounds(expected[kind])) < 0.0006);
    differences.push(largestDifference(scores(step[kind]), scores(expected[kind])));
  }
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
  assert.ok(largest < TOLERANCE, `${largest}`);
  return largest;
}
