// Every container that browsers read, in every situation: the built page in a real browser against the command line.
// npm run build && node test/situations.mjs. It needs what browser.mjs needs, and prints a table.

import { basename } from "node:path";
import { chromium } from "playwright-core";
import { fixtures } from "./fixtures.js";
import { host, predict, ready } from "./page.js";

const { json } = fixtures("situations");
const { root, server } = await host();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
let failed = 0;
try {
  const page = await browser.newPage();
  await page.goto(`${root}some/where/`);
  await ready(page);
  for (const expected of json("results.json")) {
    const { result, problem } = await predict(page, expected.file);
    const lines = problem ? [] : await page.locator("#result .warning").allTextContents();
    const warnings = lines.map((line) => line.replace("Warning: ", "")).join(" ");
    const labels = (found) => found.segments.map((one) => one.label).join();
    const times = (found) => [...found.segments.flatMap((one) => [one.start, one.end]), found.duration];
    let cell = problem ? `refused: ${problem}` : "";
    let right = Boolean(problem && expected.error);
    if (result && !expected.error) {
      const same = labels(result) === labels(expected);
      const apart = same ? Math.max(...times(result).map((time, i) => Math.abs(time - times(expected)[i]))) : Infinity;
      cell = same ? `times differ by ${apart.toFixed(3)} s` : `${labels(result)} and not ${labels(expected)}`;
      right = apart <= 0.15;
    }
    const warned = Boolean(problem || warnings.trim());
    failed += !right && !warned;
    console.log(`${right ? "right " : warned ? "warned" : "FAILS "} ${basename(expected.file)}: ${cell}`);
    for (const [who, line] of Object.entries({ page: warnings.trim(), command: expected.error ?? expected.warnings.join("; ") }))
      if (line) console.log(`         ${who}: ${line}`);
  }
} finally {
  await browser.close();
  server.close();
}
console.log(`${failed} cells fail`);
process.exitCode = failed ? 1 : 0;
