import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { matroskaDelay, mp3Padding } from "../src/headers.js";
import { concatenate } from "../src/numbers.js";
import { SoundTrack } from "../src/soundtrack.js";
import { largestDifference, fixtures } from "./fixtures.js";

// Node has no decoders, so here all sound is PCM. browser.mjs has the other formats.
const RATE = 24000;
const { folder, json, waveform } = fixtures("files");
const { decoded, paddings, delays } = json("cases.json");
const fileOf = (name) => openAsBlob(join(folder, name));

/** {samples, warnings} of a file. */
async function read(blob, name) {
  const track = await SoundTrack.open(blob, name);
  const blocks = [];
  for await (const block of track.waveform(RATE)) blocks.push(block);
  track.close();
  return { samples: concatenate(blocks), warnings: track.warnings() };
}

for (const [name, warnings] of Object.entries(decoded)) {
  test(`${name} is decoded as FFmpeg does it`, async (context) => {
    const found = await read(await fileOf(name), name);
    const difference = largestDifference(found.samples, waveform(`${name}.f32`));
    context.diagnostic(`${name}: largest difference ${difference.toExponential(1)}`);
    assert.ok(difference < 1e-5, `${name}: ${difference}, ${found.samples.length} samples`);
    assert.deepEqual(found.warnings, warnings);
  });
}

test("what the encoder of an MP3 file added is found", async () => {
  for (const [name, { samples, samplesPerFrame }] of Object.entries(paddings)) {
    const { frames, start, end } = await mp3Padding(await fileOf(name));
    assert.equal(frames * samplesPerFrame - start - end, samples, name);
    assert.ok(start > 529 && start < 2000, name);
  }
  for (const content of ["", "ID3", "Xing", "no MP3 file".repeat(99)])
    assert.deepEqual(await mp3Padding(new Blob([content])), { frames: null, start: 0, end: 0 });
});

test("the delay of a sound track in Matroska is found", async () => {
  for (const [name, samples] of Object.entries(delays)) {
    const seconds = await matroskaDelay(await fileOf(name));
    assert.ok(Math.abs(seconds - samples / 48000) < 1e-6, `${name}: ${seconds}`);
  }
});

test("errors are one line that names the file", async () => {
  const whole = new Uint8Array(await (await fileOf("s16le.wav")).arrayBuffer());
  const text = new TextDecoder("latin1").decode(whole);
  const changed = (at, ...bytes) =>
    Object.assign(whole.slice(), Object.fromEntries(bytes.map((byte, i) => [at + i, byte])));
  const format = text.indexOf("fmt ");
  const bad = {
    empty: [],
    short: [1, 2, 3],
    "no samples": whole.slice(0, text.indexOf("data") + 8),
    "no data": whole.slice(0, text.indexOf("data")),
    "no format": changed(format, 0x78),
    "no channels": changed(format + 10, 0, 0),
    "absurd rate": changed(format + 12, 0xff, 0xff, 0xff, 0xff),
    noise: Uint8Array.from({ length: 100_000 }, (_, i) => (i * 2654435761) >>> 24),
    text: new TextEncoder().encode("This is a text.\n".repeat(99)),
  };
  for (const [name, bytes] of Object.entries(bad)) {
    await assert.rejects(
      () => read(new Blob([Uint8Array.from(bytes)]), `${name}.wav`),
      ({ message }) => message.startsWith(`${name}.wav: `) && message.endsWith(".") && !message.includes("\n"),
      name,
    );
  }
});

test("where there are no decoders, the error says what to do", async () => {
  await assert.rejects(async () => read(await fileOf("44100.mp3"), "a.mp3"), /^Error: a\.mp3: .*over https.*WAV/);
});

test("a file that ends within its header gives an error, never a result", async () => {
  for (const name of ["44100.flac", "44100.m4a", "48000.webm", "44100.ogg", "44100.mp3"]) {
    const whole = await fileOf(name);
    for (const size of [1, 15, 16, 30, 40, 100, 300]) await assert.rejects(read(whole.slice(0, size), name), name);
  }
});
