// A Result (see server.js) as files for other programs: the text that `ainext predict` writes. JSON has the
// same values with other line breaks. Segments that people have corrected have no score: null in JSON, empty elsewhere.

/** name -> {title, suffix, type, text(result)}. */
export const FORMATS = {
  json: { title: "JSON", suffix: ".json", type: "application/json", text: json },
  csv: { title: "CSV", suffix: ".csv", type: "text/csv", text: csv },
  audacity: { title: "Audacity", suffix: ".txt", type: "text/plain", text: audacity },
  srt: { title: "SRT", suffix: ".srt", type: "application/x-subrip", text: srt },
};

/** Offers a text as a download. */
export function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function json(result) {
  const { file, duration, model, clip, segments } = result;
  return JSON.stringify({ file, duration, model, clip, segments }, null, 2) + "\n";
}

function csv(result) {
  const field = (text) => (/[,"\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = result.segments.map((one) =>
    [field(result.file), one.start.toFixed(3), one.end.toFixed(3), field(one.label), one.score?.toFixed(4) ?? ""].join(","),
  );
  return ["file,start,end,label,score", ...rows].join("\n") + "\n";
}

function audacity(result) {
  return result.segments.map((s) => `${s.start.toFixed(6)}\t${s.end.toFixed(6)}\t${oneLine(s.label)}\n`).join("");
}

function srt(result) {
  const cues = [...result.segments].sort((a, b) => a.start - b.start || a.end - b.end);
  const score = (one) => (one.score == null ? "" : ` ${Math.round(100 * one.score)}%`);
  const text = (one) => `${oneLine(one.label).replaceAll("-->", "→")}${score(one)}`;
  return cues.map((one, i) => `${i + 1}\n${srtTime(one.start)} --> ${srtTime(one.end)}\n${text(one)}\n`).join("\n");
}

function srtTime(seconds) {
  const ms = Math.round(seconds * 1000);
  const [hours, minutes, rest] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, ms % 60_000];
  const pad = (value) => String(value).padStart(2, "0");
  return `${pad(hours)}:${pad(minutes)}:${pad(Math.floor(rest / 1000))},${String(rest % 1000).padStart(3, "0")}`;
}

function oneLine(label) {
  return label.trim().split(/\s+/).join(" ");
}
