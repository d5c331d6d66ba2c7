// Recordings and Python's results, made when a test file starts and removed when it ends.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Recogniser } from "../src/recogniser.js";
import { shippedModel } from "../scripts/models.js";

const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const PYTHONS = [process.env.AINEXT_PYTHON, join(REPOSITORY, ".venv/bin/python")];

/** The Python in which audioinceptionnext is installed. */
export function python() {
  return PYTHONS.find((path) => path && existsSync(path)) ?? "python3";
}

/** Makes the files of one part (see fixtures.py); returns their folder and functions that read them. */
export function fixtures(part) {
  const folder = mkdtempSync(join(tmpdir(), "ainext-web-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  execFileSync(python(), [fileURLToPath(new URL("fixtures.py", import.meta.url)), part, folder], {
    env: { ...process.env, OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  return {
    folder,
    json: (name) => JSON.parse(readFileSync(join(folder, name), "utf8")),
    waveform: (name) => new Float32Array(Uint8Array.from(readFileSync(join(folder, name))).buffer),
  };
}

export async function recogniser(name) {
  const { entry, content } = shippedModel(name);
  return Recogniser.open(name, entry.metadata, content);
}

/** The largest difference between two rows of numbers of the same length. */
export function largestDifference(found, expected) {
  if (found.length !== expected.length) return Infinity;
  return expected.reduce((largest, value, index) => Math.max(largest, Math.abs(value - found[index])), 0);
}

/** A waveform in blocks of these sizes, in turn. */
export function* blocks(waveform, sizes) {
  for (let at = 0, turn = 0; at < waveform.length; turn++) {
    const size = sizes[turn % sizes.length];
    yield waveform.slice(at, at + size);
    at += size;
  }
}
