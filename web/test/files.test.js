import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nativeRate } from "../src/headers.js";
import { concatenate } from "../src/numbers.js";
import { readWav } from "../src/wav.js";
import { largestDifference, fixtures } from "./fixtures.js";

const { folder, json, waveform } = fixtures("files");
const cases = json("cases.json");

test("headers state the rate that FFmpeg finds", async () => {
  const found = {};
  for (const name of Object.keys(cases)) found[name] = await nativeRate(await openAsBlob(join(folder, name)));
  assert.deepEqual(found, Object.fromEntries(Object.entries(cases).map(([name, { rate }]) => [name, rate])));
});

test("WAV files are read as FFmpeg reads them", async () => {
  for (const [name, { samples, rate }] of Object.entries(cases)) {
    if (!samples) continue;
    const wav = await readWav(await openAsBlob(join(folder, name)), name);
    const blocks = [];
    for await (const block of wav.blocks) blocks.push(block);
    assert.equal(wav.rate, rate);
    const difference = largestDifference(concatenate(blocks), waveform(`${name}.f32`));
    assert.ok(difference < 1e-6, `${name}: ${difference}, ${wav.length} samples`);
  }
});

test("compressed WAV files and other formats are left to the browser", async () => {
  for (const name of ["mulaw.wav", "44100.flac"])
    assert.equal(await readWav(await openAsBlob(join(folder, name)), name), null);
  assert.equal(await readWav(new Blob(["short"]), "short"), null);
});

test("errors about damaged WAV files are one line that names the file", async () => {
  const whole = new Uint8Array(await (await openAsBlob(join(folder, "s16le.wav"))).arrayBuffer());
  const text = new TextDecoder("latin1").decode(whole);
  const changed = (at, ...bytes) =>
    Object.assign(whole.slice(), Object.fromEntries(bytes.map((byte, i) => [at + i, byte])));
  const format = text.indexOf("fmt ");
  const bad = {
    "no samples": whole.slice(0, text.indexOf("data") + 8),
    "no data": whole.slice(0, text.indexOf("data")),
    "no format": changed(format, 0x78),
    "no channels": changed(format + 10, 0, 0),
    "absurd rate": changed(format + 12, 0xff, 0xff, 0xff, 0xff),
  };
  for (const [name, bytes] of Object.entries(bad)) {
    const reading = (async () => readWav(new Blob([bytes]), `${name}.wav`))();
    await assert.rejects(
      reading,
      (error) => error.message.startsWith(`${name}.wav: `) && !error.message.includes("\n"),
      name,
    );
  }
});

test("headers are not read beyond their end, and noise has no rate", async () => {
  for (const name of ["44100.flac", "44100.m4a", "48000.webm", "44100.ogg", "44100.mp3"]) {
    const whole = await (await openAsBlob(join(folder, name))).arrayBuffer();
    for (const size of [0, 1, 15, 16, 30, 40, 100, 300]) await nativeRate(new Blob([whole.slice(0, size)]));
  }
  const noise = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 2654435761) >>> 24);
  assert.equal(await nativeRate(new Blob([noise])), null);
});
