// Sounds and Python's answers, made for a test file when it starts and removed when it ends.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Recogniser } from "../src/recogniser.js";
import { zooModel } from "../scripts/models.js";

const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const PYTHONS = [process.env.AINEXT_PYTHON, join(REPOSITORY, ".venv/bin/python")];

/** The Python that has audioinceptionnext. */
export function python() {
  return PYTHONS.find((path) => path && existsSync(path)) ?? "python3";
}

/** The folder with one part's files (see fixtures.py): functions that read them. */
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
    sound: (name) => new Float32Array(Uint8Array.from(readFileSync(join(folder, name))).buffer),
  };
}

export async function recogniser(name) {
  const { entry, content } = zooModel(name);
  return Recogniser.open(name, entry.facts, content);
}

/** The greatest difference between two rows of numbers of one length. */
export function apart(found, expected) {
  if (found.length !== expected.length) return Infinity;
  return expected.reduce((most, value, index) => Math.max(most, Math.abs(value - found[index])), 0);
}

/** A sound in pieces of sizes that fit nothing. */
export function* pieces(sound, sizes) {
  for (let at = 0, turn = 0; at < sound.length; turn++) {
    const size = sizes[turn % sizes.length];
    yield sound.slice(at, at + size);
    at += size;
  }
}
