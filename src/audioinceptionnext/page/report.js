// The page of `ainext report`: each recording's view is made when it is opened.
import { unpacked } from "./spectrogram.js";
import { Viewer } from "./viewer.js";

let last = null; // the one that keys go to

function open(details) {
  if (details.viewer) return;
  const heard = JSON.parse(details.querySelector(".heard").textContent);
  heard.log_mel = unpacked(heard.log_mel);
  details.viewer = new Viewer(heard, urlOf(details.querySelector(".sound")));
  details.append(details.viewer.element);
  details.viewer.element.addEventListener("pointerdown", () => (last = details.viewer));
  last ??= details.viewer;
}

function urlOf(script) {
  if (script.type === "text/none") return null;
  if (script.type === "text/link") return JSON.parse(script.textContent);
  const bytes = Uint8Array.from(atob(script.textContent), (sign) => sign.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));
}

for (const details of document.querySelectorAll("details.recording")) {
  details.addEventListener("toggle", () => details.open && open(details));
  if (details.open) open(details);
}

// A link from the table opens what it leads to.
for (const link of document.querySelectorAll('a[href^="#r"]'))
  link.addEventListener("click", () => {
    const details = document.querySelector(link.getAttribute("href"));
    details.open = true;
    open(details);
    last = details.viewer;
  });

document.addEventListener("keydown", (event) => {
  const at = event.target;
  if (!last || event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && at.closest?.("button, a, summary"))) return;
  if (event.key.startsWith("Arrow") && at.closest?.(".timeline")) return;
  if (last.key(event.key)) event.preventDefault();
});
