// The built page in a real browser, against the command line: npm run build && npm run browser [FOLDER FOR SCREENSHOTS]
// It needs chromium (CHROMIUM, by default /usr/bin/chromium) and a Python with audioinceptionnext (AINEXT_PYTHON).

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { fixtures } from "./fixtures.js";
import { host, predict, ready } from "./page.js";

const TOLERANCE = 1e-3;
const STRICT = { scores: TOLERANCE, times: TOLERANCE };
// Two decoders of Opus differ a little, so that a bound may be one step of a fine timeline (0.05 s) away, and time stamps
// of WebM are rounded to milliseconds. Of Ogg Vorbis and WebM, the end of the last packet is kept here.
const LOOSE = { scores: 0.02, times: 0.055 };
/** The largest differences between two results, of all scores and of all times. Their segments have the same labels. */
function compare(result, expected) {
  const labels = (list) => list.map((one) => one.label);
  const largest = (differences) => Math.max(0, ...differences.map(Math.abs));
  assert.deepEqual(labels(result.segments), labels(expected.segments), "segments differ");
  const expectedScores = new Map(expected.clip.map((one) => [one.label, one.score]));
  const clip = result.clip.filter((one) => expectedScores.has(one.label));
  const clipDifferences = clip.map((one) => one.score - expectedScores.get(one.label));
  const scores = result.segments.map((one, i) => one.score - expected.segments[i].score);
  const times = result.segments.flatMap((one, i) => [
    one.start - expected.segments[i].start,
    one.end - expected.segments[i].end,
  ]);
  return { scores: largest([...clipDifferences, ...scores]), times: largest([...times, result.duration - expected.duration]) };
}

const { folder, json } = fixtures("browser");
const { root, server, requests } = await host();
const url = `${root}some/where/`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    `--use-file-for-fake-audio-capture=${join(folder, "scene.wav")}`,
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  const messages = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(String(error)));
  const elsewhere = [];
  page.on(
    "request",
    (request) => request.url().match(/^(blob|data):/) || request.url().startsWith(url) || elsewhere.push(request.url()),
  );
  await page.goto(url);
  await ready(page);

  for (const expected of json("results.json")) {
    const name = expected.file.split("/").at(-1);
    const { result, seconds, problem } = await predict(page, expected.file);
    assert.ok(result, problem);
    const { scores, times } = compare(result, expected);
    const most = /\.(ogg|opus|webm)$/.test(name) ? LOOSE : STRICT;
    console.log(`${name}: scores differ by ${scores.toFixed(4)}, times by ${times.toFixed(3)} s, ${seconds.toFixed(1)} s`);
    assert.ok(scores < most.scores && times < most.times, name);
  }
  if (process.argv[2]) await page.screenshot({ path: join(process.argv[2], "static.png"), fullPage: true });

  // A correction is in the label track, which makes a recording part of a training set.
  const before = await page.locator("#result tbody tr").count();
  await page.getByRole("button", { name: "Correct", exact: true }).click();
  await page.locator("#result tbody .edit").first().click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  const [track] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save the label track" }).click(),
  ]);
  const lines = readFileSync(await track.path(), "utf8").trimEnd().split("\n");
  console.log(`corrected: ${before} segments, then ${lines.length} in ${track.suggestedFilename()}`);
  assert.equal(lines.length, before - 1);

  const [expected] = json("minutes.json");
  for (const name of ["minutes.flac", "minutes.wav"]) {
    const { result, seconds, problem } = await predict(page, join(folder, name));
    assert.ok(result, problem);
    const { scores, times } = compare(result, expected);
    console.log(
      `${name} (100 s): scores differ by ${scores.toFixed(4)}, times by ${times.toFixed(3)} s, ${seconds.toFixed(1)} s`,
    );
    assert.ok(scores < TOLERANCE && times < TOLERANCE, name);
  }

  for (const [name, content] of [
    ["text.mp4", "This is a text.\n".repeat(99)],
    ["empty.wav", ""],
  ]) {
    writeFileSync(join(folder, name), content);
    const { problem } = await predict(page, join(folder, name));
    console.log(`${name}: ${problem}`);
    assert.match(problem, new RegExp(`^${name}: `));
  }

  await page.setInputFiles("#file", join(folder, "minutes.wav"));
  await page.getByRole("button", { name: "Cancel minutes.wav" }).click();
  await page.getByText("Cancelled.").waitFor({ timeout: 2000 });

  await page.getByRole("button", { name: "Use the microphone" }).click();
  await page.waitForFunction(() => document.querySelectorAll("#live .ended li").length > 1, null, { timeout: 60_000 });
  if (process.argv[2]) await page.screenshot({ path: join(process.argv[2], "static-live.png"), fullPage: true });
  await page.getByRole("button", { name: "Stop" }).click();
  await page.waitForSelector("#result:not([hidden])");
  console.log(`microphone: ${await page.locator("#status").textContent()}`);

  const isolated = await browser.newPage();
  await isolated.goto(`${root}isolated/`);
  await ready(isolated);
  assert.ok(await isolated.evaluate(() => crossOriginIsolated));
  const { result, seconds, problem } = await predict(isolated, join(folder, "minutes.wav"));
  assert.ok(result, problem);
  const { scores } = compare(result, expected);
  console.log(`in threads, minutes.wav: scores differ by ${scores.toFixed(4)}, ${seconds.toFixed(1)} s`);
  assert.ok(scores < TOLERANCE);

  assert.deepEqual(elsewhere, [], "requests to other hosts");
  assert.deepEqual(
    messages.filter((line) => !line.includes("ERR_")),
    [],
    "messages on the console",
  );
  console.log(`${requests.length} requests, all to the page's own folder`);
} finally {
  await browser.close();
  server.close();
}
