// The page of `ainext report`. The viewer of a recording is made when the recording is opened.
import { decodeLogMel } from "./spectrogram.js";
import { setNames } from "./text.js";
import { Viewer } from "./viewer.js";

let current = null; // the viewer that the keyboard controls
const names = {}; // of labels, if the report is in another language

function open(details) {
  if (details.viewer) return;
  const result = JSON.parse(details.querySelector(".result").textContent);
  for (const { label, name } of [...result.clip, ...result.segments]) if (name) names[label] = name;
  setNames(names);
  result.log_mel = decodeLogMel(result.log_mel);
  details.viewer = new Viewer(result, audioUrl(details.querySelector(".audio")));
  details.append(details.viewer.element);
  details.viewer.element.addEventListener("pointerdown", () => (current = details.viewer));
  current ??= details.viewer;
}

/** The URL of the recording's audio, or null. The type of its script says whether it is embedded or linked. */
function audioUrl(script) {
  if (script.type === "text/none") return null;
  if (script.type === "text/link") return JSON.parse(script.textContent);
  const bytes = Uint8Array.from(atob(script.textContent), (character) => character.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));
}

for (const details of document.querySelectorAll("details.recording")) {
  details.addEventListener("toggle", () => details.open && open(details));
  if (details.open) open(details);
}

// A link in the table opens the recording that it leads to.
for (const link of document.querySelectorAll('a[href^="#r"]'))
  link.addEventListener("click", () => {
    const details = document.querySelector(link.getAttribute("href"));
    details.open = true;
    open(details);
    current = details.viewer;
  });

document.addEventListener("keydown", (event) => {
  const { target } = event;
  if (!current || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && target.closest?.("button, a, summary")) return;
  if (event.key.startsWith("Arrow") && target.closest?.(".timeline")) return;
  if (current.key(event.key)) event.preventDefault();
});
