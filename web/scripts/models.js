// The shipped models for the page: their files, and the files' metadata, which onnxruntime-web does not read.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readMetadata } from "../src/teach-file.js";

const MODELS = fileURLToPath(new URL("../../src/audioinceptionnext/models/", import.meta.url));
const ZOO = join(MODELS, "zoo");
const [, DEFAULT] = readFileSync(join(MODELS, "names.py"), "utf8").match(/^DEFAULT_MODEL = "(.+)"$/m);
// Of the metadata, what the engine reads.
const METADATA = ["labels", "thresholds", "mode", "sample_rate", "hop_samples"];
METADATA.push("features", "clip_samples", "clip_frames", "step_frames", "margin_frames", "timeline_step_frames", "segmentation");

/** All shipped models: {entry of models.json, path in the build, content}; the default one first. */
export function shippedModels() {
  const folders = readdirSync(ZOO).filter((name) => existsSync(join(ZOO, name, "model.json")));
  return folders.sort((a, b) => (b === DEFAULT) - (a === DEFAULT) || (a < b ? -1 : 1)).map(shippedModel);
}

export function shippedModel(name) {
  const description = JSON.parse(readFileSync(join(ZOO, name, "model.json"), "utf8"));
  const content = readFileSync(join(ZOO, name, "model.onnx"));
  const digest = createHash("sha256").update(content).digest("hex");
  if (digest !== description.sha256) throw new Error(`${name}: model.onnx is not the file that model.json describes`);
  // A changed model has a new address, so that caches may keep this one.
  const path = `models/${name}-${digest.slice(0, 8)}.onnx`;
  const all = readMetadata(content);
  const metadata = Object.fromEntries(METADATA.filter((key) => key in all).map((key) => [key, all[key]]));
  const { labels, sample_rate, mode, bytes, licence, parameters, measured } = description;
  const entry = {
    name,
    labels,
    groups: JSON.parse(all.groups ?? "{}"),
    sample_rate,
    mode,
    bytes,
    licence,
    parameters,
    measured,
    default: name === DEFAULT,
    path,
    metadata,
  };
  return { entry, path, content };
}
