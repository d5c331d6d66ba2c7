// What the page says about correcting segments.
import { NUDGE } from "./segmentform.js";
import { make } from "./text.js";

export const gestures =
  "Drag a segment to move it, and its ends, here or on the picture, to resize it. Drag over the picture, or over a free part of a lane, to add one; with a finger, use the button.";

const KEYS = [
  [["Enter"], "edit the chosen segment"],
  [["Delete"], "delete it"],
  [["P"], "play it"],
  [["Shift", "←", "→"], `move its start by ${NUDGE} s`],
  [["Alt", "←", "→"], `move its end by ${NUDGE} s`],
  [["Shift", "Alt", "←", "→"], "move all of it"],
  [["[", "]"], "set its start or its end to the playhead; I and O do the same"],
  [["↑", "↓"], "in the table: the segment above or below"],
  [["N"], "add a segment at the playhead"],
  [["Ctrl", "Z"], "undo"],
  [["Ctrl", "Shift", "Z"], "redo; Ctrl Y does the same"],
];

/** The list of keys, which people open. */
export function keys() {
  const rows = KEYS.flatMap(([names, text]) => [make("dt", {}, ...names.flatMap((name) => [make("kbd", {}, name), " "])), make("dd", {}, text)]);
  return make("details", {}, make("summary", {}, "Keys"), make("dl", { class: "keys" }, ...rows));
}
