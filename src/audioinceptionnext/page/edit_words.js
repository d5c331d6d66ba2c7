// Edits of segments in words, for the status line and the undo list.
import { clock, countSegments, readable } from "./text.js";

export function inClocks({ start, end }) {
  return `${clock(start, 2)} to ${clock(end, 2)}`;
}

/** An edit in words. others: how many more segments of the label are renamed. */
export function inWords(before, after, others = 0) {
  const name = readable(before.label);
  const times = inClocks(after);
  const moved = before.start !== after.start || before.end !== after.end;
  if (others) return `Renamed ${countSegments(others + 1)} of ${name} to ${readable(after.label)}.`;
  if (before.label !== after.label) return `Renamed ${name} to ${readable(after.label)}${moved ? `, ${times}` : ""}.`;
  if (before.end === after.end) return `${name} now starts at ${clock(after.start, 2)}.`;
  if (before.start === after.start) return `${name} now ends at ${clock(after.end, 2)}.`;
  return `Moved ${name}: ${times}.`;
}
