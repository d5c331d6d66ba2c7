// The built page on a static host, and what it gives for a file.

import { createReadStream, existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json" };
TYPES[".wasm"] = "application/wasm";
TYPES[".svg"] = "image/svg+xml";

/** A static host with the page in two folders: /some/where/, and with the headers that allow threads, /isolated/. */
export async function host() {
  const requests = [];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://host").pathname)).replace(
      /\/$/,
      "/index.html",
    );
    requests.push(path);
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
  return { root: `http://127.0.0.1:${server.address().port}/`, server, requests };
}

/** Waits until the page is ready, and selects the model whose results the fixtures are. */
export async function ready(page) {
  await page.waitForSelector("#model:not([disabled])");
  await page.selectOption("#model", "kitchen20");
}

/** Gives a file to the page: {result: what it offers as JSON, seconds: that this took} or {problem}. */
export async function predict(page, file) {
  const start = Date.now();
  const before = await page.locator(".entry").count();
  await page.setInputFiles("#file", file);
  const entry = page.locator(".entry").nth(before);
  await entry.and(page.locator("[data-state=done], [data-state=failed]")).waitFor({ timeout: 600_000 });
  if ((await entry.getAttribute("data-state")) === "failed") return { problem: await entry.locator(".state").textContent() };
  const seconds = (Date.now() - start) / 1000;
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.locator("#result").getByRole("button", { name: "JSON" }).click(),
  ]);
  return { result: JSON.parse(await readFile(await download.path(), "utf8")), seconds };
}
