// The shipped models for the page: their files, and the files' metadata, which onnxruntime-web does not read.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

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

/** The metadata of an ONNX file: in field 14 of its outermost message, entries with a key (1) and a value (2). */
export function readMetadata(content) {
  const found = {};
  for (const [field, value] of fields(content)) {
    if (field !== 14) continue;
    const pair = Object.fromEntries(fields(value));
    found[pair[1].toString()] = pair[2]?.toString() ?? "";
  }
  return found;
}

/** The fields of a protobuf message that have a length: [number, bytes]. */
function* fields(message) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      yield [tag >>> 3, message.subarray(at, at + length)];
      at += length;
    } else throw new Error("not an ONNX file");
  }
}
