import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readWav } from "../src/wav.js";
import { resampled } from "../src/sound.js";
import { apart, fixtures, pieces, recogniser } from "./fixtures.js";

const NEAR = 1e-3;
const { folder, json, sound } = fixtures("recordings");
const answers = json("answers.json");

for (const model of ["kitchen20", "kitchen20-small", "digits"]) {
  test(`${model} hears what Python hears`, async (context) => {
    const listener = await recogniser(model);
    const watched = watch(listener);
    for (const name of ["scene-44100.wav", "scene-48000.wav", "scene-16000.wav", "long", "short", "silent"]) {
      watched.rows = [];
      const wav = name.endsWith(".wav") && (await readWav(await openAsBlob(join(folder, name)), name));
      const blocks = wav
        ? resampled(wav.pieces, wav.rate, listener.sampleRate)
        : pieces(sound(`${name}.f32`), [70001, 1e6]);
      const heard = await listener.predict(name, blocks);
      const { rows } = watched;
      const expected = answers[`${model} ${name}`];
      compare(context, heard, expected, `${model} ${name}`);
      assert.equal(rows.length, expected.probabilities.length);
      const most = Math.max(...rows.map((row, step) => apart(row, expected.probabilities[step])));
      context.diagnostic(`${model} ${name}: probabilities of ${rows.length} steps apart by ${most.toExponential(1)}`);
      assert.ok(most < NEAR, `${model} ${name}: ${most}`);
    }
    await listener.close();
  });
}

function compare(context, heard, expected, message) {
  assert.equal(heard.duration, expected.duration, message);
  assert.deepEqual([heard.hop, heard.window], [expected.hop, expected.window], message);
  assert.equal(heard.segments.length, expected.segments.length, message);
  const scores = (list) => list.map((one) => one.score);
  const bounds = (list) => list.flatMap((one) => [one.start, one.end]);
  assert.deepEqual(labels(heard.segments), labels(expected.segments), message);
  assert.deepEqual(labels(heard.clip), labels(expected.clip), message);
  assert.deepEqual(bounds(heard.segments), bounds(expected.segments), message);
  const most = Math.max(
    apart(scores(heard.clip), scores(expected.clip)),
    apart(scores(heard.segments), scores(expected.segments)),
  );
  const drawn = heard.log_mel;
  assert.deepEqual([drawn.columns, drawn.bands], expected.overview.shape, message);
  assert.ok(apart([drawn.low, drawn.high], expected.overview.percentiles) < 0.01, message);
  assert.equal(drawn.data.length, drawn.columns * drawn.bands);
  context.diagnostic(`${message}: ${heard.segments.length} segments, scores apart by ${most.toExponential(1)}`);
  assert.ok(most < NEAR, `${message}: ${most}`);
}

/** Has a recogniser keep its probabilities too. */
function watch(recogniser) {
  const { listener } = recogniser;
  const watched = { rows: [] };
  async function* listen(blocks) {
    for await (const heard of listener.listen(blocks)) {
      watched.rows.push(...heard.rows);
      yield heard;
    }
  }
  recogniser.listener = { listen };
  return watched;
}

const labels = (list) => list.map((one) => one.label);
