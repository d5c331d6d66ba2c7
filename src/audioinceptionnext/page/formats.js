// What was heard, as files for other programs: the text of `ainext predict --format`; of JSON the same values.

/** name -> {title, suffix, type, text(heard)}. */
export const FORMATS = {
  json: { title: "JSON", suffix: ".json", type: "application/json", text: json },
  csv: { title: "CSV", suffix: ".csv", type: "text/csv", text: csv },
  audacity: { title: "Audacity", suffix: ".txt", type: "text/plain", text: audacity },
  srt: { title: "SRT", suffix: ".srt", type: "application/x-subrip", text: srt },
};

/** Offers a text to be saved under a name. */
export function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function json(heard) {
  const { file, duration, model, clip, segments } = heard;
  return JSON.stringify({ file, duration, model, clip, segments }, null, 2) + "\n";
}

function csv(heard) {
  const field = (text) => (/[,"\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = heard.segments.map((one) =>
    [field(heard.file), one.start.toFixed(3), one.end.toFixed(3), field(one.label), one.score.toFixed(4)].join(","),
  );
  return ["file,start,end,label,score", ...rows].join("\n") + "\n";
}

function audacity(heard) {
  return heard.segments.map((s) => `${s.start.toFixed(6)}\t${s.end.toFixed(6)}\t${oneLine(s.label)}\n`).join("");
}

function srt(heard) {
  const cues = [...heard.segments].sort((a, b) => a.start - b.start || a.end - b.end);
  const text = (one) => `${oneLine(one.label).replaceAll("-->", "→")} ${Math.round(100 * one.score)}%`;
  return cues.map((one, n) => `${n + 1}\n${moment(one.start)} --> ${moment(one.end)}\n${text(one)}\n`).join("\n");
}

function moment(seconds) {
  const whole = Math.round(seconds * 1000);
  const [hours, minutes, rest] = [Math.floor(whole / 3_600_000), Math.floor(whole / 60_000) % 60, whole % 60_000];
  const two = (value) => String(value).padStart(2, "0");
  return `${two(hours)}:${two(minutes)}:${two(Math.floor(rest / 1000))},${String(rest % 1000).padStart(3, "0")}`;
}

function oneLine(label) {
  return label.trim().split(/\s+/).join(" ");
}
