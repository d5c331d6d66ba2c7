// A Result (see server.js) as a document of ELAN (EAF 3.0), with one tier per label, in the order in which the labels first
// occur. src/audioinceptionnext/results/formats.py is the definition, and says why.
import { roundEven } from "./numbers.js";
import { oneLine } from "./text.js";

const SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd";
// The characters that XML 1.0 cannot express, not even escaped.
const NOT_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;
const TYPES = {
  ...{ wav: "audio/x-wav", flac: "audio/flac", mp3: "audio/mpeg", ogg: "audio/ogg", opus: "audio/ogg", oga: "audio/ogg", m4a: "audio/mp4" },
  ...{ aac: "audio/aac", aiff: "audio/x-aiff", mp4: "video/mp4", m4v: "video/mp4", webm: "video/webm", mkv: "video/x-matroska" },
  ...{ mov: "video/quicktime", avi: "video/x-msvideo", mpg: "video/mpeg", mpeg: "video/mpeg" },
};

export function elan({ file, model, segments }) {
  const slots = [];
  const annotations = segments.map((segment, number) => {
    const start = roundEven(segment.start * 1000);
    const end = Math.max(roundEven(segment.end * 1000), start + 1);
    const own = [start, end].map((time, edge) => ({ time, number, edge }));
    slots.push(...own);
    return { label: segment.label, number, own };
  });
  slots.sort((a, b) => a.time - b.time || a.number - b.number || a.edge - b.edge);
  slots.forEach((slot, place) => (slot.id = `ts${place + 1}`));
  const tiers = new Map(); // by label: its annotations
  for (const one of annotations) tiers.set(one.label, [...(tiers.get(one.label) ?? []), one]);
  const names = new Set();
  const attributes = { AUTHOR: `AudioInceptionNeXt, ${model}`, FORMAT: "3.0", VERSION: "3.0", DATE: now(), "xsi:noNamespaceSchemaLocation": SCHEMA };
  return render(
    node(
      "ANNOTATION_DOCUMENT",
      { "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", ...attributes },
      node(
        "HEADER",
        { MEDIA_FILE: "", TIME_UNITS: "milliseconds" },
        ...(file ? [node("MEDIA_DESCRIPTOR", { MEDIA_URL: `./${file}`, MIME_TYPE: typeOf(file), RELATIVE_MEDIA_URL: `./${file}` })] : []),
        node("PROPERTY", { NAME: "lastUsedAnnotationId" }, String(segments.length)),
      ),
      node("TIME_ORDER", {}, ...slots.map(({ id, time }) => node("TIME_SLOT", { TIME_SLOT_ID: id, TIME_VALUE: String(time) }))),
      ...[...tiers].map(([label, some]) => tier(label, some, names)),
      node("LINGUISTIC_TYPE", { LINGUISTIC_TYPE_ID: "sound", TIME_ALIGNABLE: "true", GRAPHIC_REFERENCES: "false" }),
    ),
  );
}

/** names: of the tiers so far, to which this one's is added. */
function tier(label, annotations, names) {
  const value = oneLine(label) || "(no name)";
  let name = value;
  for (let number = 2; names.has(name); number++) name = `${value} (${number})`;
  names.add(name);
  const annotation = ({ number, own: [start, end] }) => {
    const attributes = { ANNOTATION_ID: `a${number + 1}`, TIME_SLOT_REF1: start.id, TIME_SLOT_REF2: end.id };
    return node("ANNOTATION", {}, node("ALIGNABLE_ANNOTATION", attributes, node("ANNOTATION_VALUE", {}, value)));
  };
  return node("TIER", { TIER_ID: name, LINGUISTIC_TYPE_REF: "sound" }, ...annotations.map(annotation));
}

/** An element as {name, attributes, children}; children are elements, or one text. */
function node(name, attributes, ...children) {
  return { name, attributes, children };
}

function render(root) {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${markup(root, "\n")}\n`;
}

function markup({ name, attributes, children }, line) {
  const given = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value).replaceAll('"', "&quot;")}"`);
  const open = `<${name}${given.join("")}`;
  if (!children.length) return `${open} />`;
  if (typeof children[0] === "string") return `${open}>${escaped(children[0])}</${name}>`;
  return `${open}>${children.map((one) => `${line}  ${markup(one, `${line}  `)}`).join("")}${line}</${name}>`;
}

function escaped(text) {
  return text.replace(NOT_XML, "\ufffd").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function typeOf(file) {
  return TYPES[file.toLowerCase().match(/\.([^.]*)$/)?.[1]] ?? "unknown";
}

/** The local time with its distance from UTC, as in "2026-11-29T04:05:06+01:00". */
function now() {
  const date = new Date();
  const minutes = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + 60_000 * minutes).toISOString().slice(0, 19);
  const pad = (value) => String(value).padStart(2, "0");
  const distance = Math.abs(minutes);
  return `${local}${minutes < 0 ? "-" : "+"}${pad(Math.floor(distance / 60))}:${pad(distance % 60)}`;
}
