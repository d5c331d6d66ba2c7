// Keeps people from losing corrections that are in no file yet.
import { correctionsOf } from "./corrections.js";

const watched = new Set(); // Corrections in which there have been edits

addEventListener("beforeunload", (event) => {
  if ([...watched].some(({ unsaved }) => unsaved)) event.preventDefault();
});

/** Makes the page ask before it is closed while these Corrections are not saved. */
export function watch(corrections) {
  watched.add(corrections);
}

/** Whether a Result may be dropped: it has no corrections that are not saved, or else people agree. */
export function mayDrop(result) {
  if (!result) return true;
  const corrections = correctionsOf(result);
  if (corrections.unsaved && !confirm(`The corrections of ${result.file} are not saved. Discard them?`)) return false;
  watched.delete(corrections);
  return true;
}
