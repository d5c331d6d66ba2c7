// Results (see server.js) as files for other programs: the texts that `ainext predict` writes, whose definition is
// src/audioinceptionnext/results/formats.py. Subtitles name sounds as the page does, all others have labels. A segment that a person has set has no score: null in JSON, empty elsewhere.
import { elan } from "./elan.js";
import { roundEven } from "./numbers.js";
import { named, oneLine } from "./text.js";

const RAVEN = [
  ...["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"],
  ...["Begin File", "Begin Path", "File Offset (s)", "Annotation", "Score"],
];

/** name -> {title, hint, suffix, type, text(result), all(results): of several recordings, where that makes sense}. */
export const FORMATS = {
  json: { title: "JSON", hint: "For programs", suffix: ".json", type: "application/json", text: json, all: jsonOfAll },
  csv: { title: "CSV", hint: "A table of segments", suffix: ".csv", type: "text/csv", text: (one) => csv([one]), all: csv },
  audacity: { title: "Audacity", hint: "A label track", suffix: ".txt", type: "text/plain", text: audacity },
  srt: { title: "SRT", hint: "Subtitles", suffix: ".srt", type: "application/x-subrip", text: srt },
  elan: { title: "ELAN", hint: "A document with one tier per label", suffix: ".eaf", type: "application/xml", text: elan },
  raven: { title: "Raven", hint: "A selection table", suffix: ".selections.txt", type: "text/tab-separated-values", text: (one) => raven([one]), all: raven },
};

/** Offers a text as a download. */
export function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const dataOf = ({ file, duration, model, clip, segments }) => ({ file, duration, model, clip, segments });

function json(result) {
  return `${dump(dataOf(result), "\n")}\n`;
}

function jsonOfAll(results) {
  return `[\n${results.map((one) => dump(dataOf(one), "")).join(",\n")}\n]\n`;
}

/** As Python's json writes it, where all numbers are floats. line: what begins a new line, or nothing for one line. */
function dump(value, line) {
  if (typeof value === "number") return Number.isInteger(value) ? `${value}.0` : String(value);
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = line && `${line}  `;
  const parts = Array.isArray(value)
    ? value.map((one) => dump(one, inner))
    : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${dump(one, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return parts.length ? open + inner + parts.join(line ? `,${inner}` : ", ") + line + close : open + close;
}

function csv(results) {
  const field = (text) => (/[,"\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const row = (file, { start, end, label, score, task }) =>
    [field(file), start.toFixed(3), end.toFixed(3), field(label), decimals(score), ...(task ? [field(task)] : [])].join(",");
  const hasTasks = results.some(({ clip }) => clip.some(({ task }) => task));
  const rows = results.flatMap(({ file, segments }) => segments.map((one) => row(file, one)));
  return [`file,start,end,label,score${hasTasks ? ",task" : ""}`, ...rows].join("\n") + "\n";
}

function audacity(result) {
  return result.segments.map((s) => `${s.start.toFixed(6)}\t${s.end.toFixed(6)}\t${oneLine(s.label)}\n`).join("");
}

function srt(result) {
  const cues = [...result.segments].sort((a, b) => a.start - b.start || a.end - b.end);
  const score = (one) => (one.score == null ? "" : ` ${roundEven(100 * one.score)}%`);
  const text = (one) => `${oneLine(named(one.label)).replaceAll("-->", "→")}${score(one)}`;
  return cues.map((one, i) => `${i + 1}\n${srtTime(one.start)} --> ${srtTime(one.end)}\n${text(one)}\n`).join("\n");
}

function srtTime(seconds) {
  const ms = roundEven(seconds * 1000);
  const [hours, minutes, rest] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, ms % 60_000];
  const pad = (value) => String(value).padStart(2, "0");
  return `${pad(hours)}:${pad(minutes)}:${pad(Math.floor(rest / 1000))},${String(rest % 1000).padStart(3, "0")}`;
}

/** Raven opens the recordings of a table one after another as one sound; those without a selection are not in it. */
function raven(results) {
  const lines = [RAVEN];
  let before = 0; // seconds of the recordings so far
  for (const { file, duration, segments, sample_rate } of results.filter((one) => one.segments.length)) {
    const name = oneLine(file);
    const high = (sample_rate / 2).toFixed(1);
    for (const { start, end, label, score } of segments) {
      const times = [before + start, before + end].map((moment) => moment.toFixed(6));
      const place = [lines.length, "Spectrogram 1", 1, ...times, "0.0", high, name, name, start.toFixed(6)];
      lines.push([...place, oneLine(label), decimals(score)]);
    }
    before += duration;
  }
  return lines.map((fields) => fields.join("\t") + "\n").join("");
}

function decimals(score) {
  return score?.toFixed(4) ?? "";
}
