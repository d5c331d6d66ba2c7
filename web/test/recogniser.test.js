import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SoundTrack } from "../src/soundtrack.js";
import { blocks, fixtures, largestDifference, recogniser as openRecogniser } from "./fixtures.js";

const TOLERANCE = 1e-3;
const { folder, json, waveform } = fixtures("recordings");
const results = json("results.json");

for (const [model, names] of Object.entries(json("names.json"))) {
  test(`${model} recognises what it recognises in Python`, async (context) => {
    const recogniser = await openRecogniser(model);
    const recorded = recordRows(recogniser);
    for (const name of names) {
      recorded.rows = [];
      const input = name.endsWith(".wav")
        ? (await SoundTrack.open(await openAsBlob(join(folder, name)), name)).waveform(recogniser.sampleRate)
        : blocks(waveform(`${name}.f32`), [70001, 1e6]);
      const result = await recogniser.predict(name, input);
      const { rows } = recorded;
      const expected = results[`${model} ${name}`];
      compare(context, result, expected, `${model} ${name}`);
      assert.equal(rows.length, expected.probabilities.length);
      const largest = Math.max(...rows.map((row, step) => largestDifference(row, expected.probabilities[step])));
      const message = `${model} ${name}: probabilities of ${rows.length} steps differ by at most`;
      context.diagnostic(`${message} ${largest.toExponential(1)}`);
      assert.ok(largest < TOLERANCE, `${message} ${largest}`);
    }
    await recogniser.close();
  });
}

function compare(context, result, expected, message) {
  assert.equal(result.duration, expected.duration, message);
  const seconds = [result.stepSeconds, result.windowSeconds];
  assert.deepEqual(seconds, [expected.step_seconds, expected.window_seconds], message);
  assert.equal(result.segments.length, expected.segments.length, message);
  const labels = (list) => list.map((one) => one.label);
  const scores = (list) => list.map((one) => one.score);
  const bounds = (list) => list.flatMap((one) => [one.start, one.end]);
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

/** Has a recogniser keep its probabilities too. */
function recordRows(recogniser) {
  const { predictor } = recogniser;
  const recorded = { rows: [] };
  async function* predictBlocks(input) {
    for await (const prediction of predictor.predictBlocks(input)) {
      recorded.rows.push(...prediction.rows);
      yield prediction;
    }
  }
  recogniser.predictor = { predictBlocks };
  return recorded;
}
