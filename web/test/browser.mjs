// The built page in a real browser, against the command line: npm run build && npm run browser [FOLDER FOR SCREENSHOTS]
// Needs chromium (CHROMIUM, /usr/bin/chromium unless given) and a Python with audioinceptionnext (AINEXT_PYTHON).

import assert from "node:assert/strict";
import { createReadStream, existsSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { fixtures } from "./fixtures.js";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const NEAR = 1e-3; // for formats that have one right decoding
const NEAR_LOSSY = 0.02; // two decoders of one lossy file may differ a little
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json" };
TYPES[".wasm"] = "application/wasm";
TYPES[".svg"] = "image/svg+xml";

/** A static host, with the page in two folders: /some/where/ and, with headers for threads, /isolated/. */
async function host() {
  const asked = [];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://host").pathname)).replace(
      /\/$/,
      "/index.html",
    );
    asked.push(path);
    const [, folder, inside] = path.match(/^\/(some\/where|isolated)\/(.*)$/) ?? [];
    const file = join(DIST, inside ?? "");
    if (!inside || !existsSync(file)) return response.writeHead(404).end();
    if (folder === "isolated") {
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
    }
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": statSync(file).size,
    });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { root: `http://127.0.0.1:${server.address().port}/`, server, asked };
}

/** Gives the page a file; what it offers as JSON, and the seconds that took. */
async function hear(page, file) {
  const begun = Date.now();
  await page.setInputFiles("#file", file);
  await page.waitForFunction(
    () => !document.getElementById("working").hidden || !document.getElementById("problem").hidden,
  );
  await page.waitForFunction(() => document.getElementById("working").hidden, null, { timeout: 600_000 });
  const problem = await page.locator("#problem").evaluate((element) => (element.hidden ? null : element.textContent));
  if (problem) return { problem };
  const seconds = (Date.now() - begun) / 1000;
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "JSON" }).click(),
  ]);
  return { heard: JSON.parse(await readFile(await download.path(), "utf8")), seconds };
}

/** The largest differences between what two heard: of the scores (in segments, of the whole) and times. */
function compared(heard, expected) {
  const labels = (list) => list.map((one) => one.label);
  const worst = (differences) => Math.max(0, ...differences.map(Math.abs));
  assert.deepEqual(labels(heard.segments), labels(expected.segments), "other segments");
  const others = new Map(expected.clip.map((one) => [one.label, one.score]));
  const whole = heard.clip.filter((one) => others.has(one.label)).map((one) => one.score - others.get(one.label));
  const scores = heard.segments.map((one, i) => one.score - expected.segments[i].score);
  const times = heard.segments.flatMap((one, i) => [
    one.start - expected.segments[i].start,
    one.end - expected.segments[i].end,
  ]);
  return { scores: worst([...whole, ...scores]), times: worst([...times, heard.duration - expected.duration]) };
}

const { folder, json } = fixtures("browser");
const { root, server, asked } = await host();
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
  const said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  const elsewhere = [];
  page.on(
    "request",
    (request) => request.url().match(/^(blob|data):/) || request.url().startsWith(url) || elsewhere.push(request.url()),
  );
  await page.goto(url);
  await page.waitForSelector("#model:not([disabled])");

  for (const expected of json("answers.json")) {
    const name = expected.file.split("/").at(-1);
    const { heard, seconds, problem } = await hear(page, expected.file);
    assert.ok(heard, problem);
    const { scores, times } = compared(heard, expected);
    const exact = /\.(wav|flac)$/.test(name);
    console.log(`${name}: scores ${scores.toFixed(4)}, times ${times.toFixed(3)} s apart, ${seconds.toFixed(1)} s`);
    assert.ok(scores < (exact ? NEAR : NEAR_LOSSY) && times < (exact ? NEAR : 0.4), name);
  }
  if (process.argv[2]) await page.screenshot({ path: join(process.argv[2], "static.png"), fullPage: true });

  const [expected] = json("minutes.json");
  for (const name of ["minutes.flac", "minutes.wav"]) {
    const { heard, seconds, problem } = await hear(page, join(folder, name));
    assert.ok(heard, problem);
    const { scores, times } = compared(heard, expected);
    console.log(
      `${name} (600 s): scores ${scores.toFixed(4)}, times ${times.toFixed(3)} s apart, ${seconds.toFixed(1)} s`,
    );
    assert.ok(scores < NEAR && times < NEAR, name);
  }

  for (const [name, content] of [
    ["text.mp4", "no sound at all\n".repeat(99)],
    ["empty.wav", ""],
  ]) {
    writeFileSync(join(folder, name), content);
    const { problem } = await hear(page, join(folder, name));
    console.log(`${name}: ${problem}`);
    assert.match(problem, new RegExp(`^${name}: `));
  }

  await page.setInputFiles("#file", join(folder, "minutes.wav"));
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Cancelled.").waitFor({ timeout: 2000 });

  await page.getByRole("button", { name: "Listen to the microphone" }).click();
  await page.waitForFunction(() => document.querySelectorAll("#live .chips li").length > 1, null, { timeout: 60_000 });
  if (process.argv[2]) await page.screenshot({ path: join(process.argv[2], "static-live.png"), fullPage: true });
  await page.getByRole("button", { name: "Stop" }).click();
  await page.waitForSelector("#result:not([hidden])");
  console.log(`microphone: ${await page.locator("#status").textContent()}`);

  const isolated = await browser.newPage();
  await isolated.goto(`${root}isolated/`);
  await isolated.waitForSelector("#model:not([disabled])");
  assert.ok(await isolated.evaluate(() => crossOriginIsolated));
  const { heard, seconds, problem } = await hear(isolated, join(folder, "minutes.wav"));
  assert.ok(heard, problem);
  const { scores } = compared(heard, expected);
  console.log(`in threads, minutes.wav: scores ${scores.toFixed(4)} apart, ${seconds.toFixed(1)} s`);
  assert.ok(scores < NEAR);

  assert.deepEqual(elsewhere, [], "asked of other hosts");
  assert.deepEqual(
    said.filter((line) => !line.includes("ERR_")),
    [],
    "said on the console",
  );
  console.log(`${asked.length} requests, all to the page's own folder`);
} finally {
  await browser.close();
  server.close();
}
