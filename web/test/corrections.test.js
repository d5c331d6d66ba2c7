import assert from "node:assert/strict";
import { test } from "node:test";
import { only } from "../../src/audioinceptionnext/page/choice.js";
import { corrected, Corrections, correctionsOf, MIN_SECONDS } from "../../src/audioinceptionnext/page/corrections.js";
import { FORMATS } from "../../src/audioinceptionnext/page/formats.js";
import { clock, describe, secondsOf } from "../../src/audioinceptionnext/page/text.js";

const DOG = { start: 1, end: 2, label: "Dog", score: 0.9 };
const CAT = { start: 3, end: 4, label: "Cat", score: 0.8 };
const LATE = { start: 8, end: 9.5, label: "Dog", score: 0.7 };
const MODEL = [DOG, CAT, LATE];
const made = () => new Corrections({ duration: 10, clip: [{ label: "Cat", score: 0.1, task: "noun" }] });

test("a segment is changed, added and deleted, and each edit is undone and done again", () => {
  const corrections = made();
  assert.deepEqual([corrections.apply(MODEL), corrections.edited, corrections.canUndo], [MODEL, false, false]);
  const moved = corrections.change(CAT, { start: 5, end: 6.0004 }, "moved");
  assert.deepEqual(moved, { start: 5, end: 6, label: "Cat", score: null, task: "noun" });
  const added = corrections.add({ start: 0, end: 0.5, label: "Tom’s whistle" }, "added");
  corrections.remove(DOG, "deleted");
  assert.deepEqual(corrections.apply(MODEL), [added, moved, LATE]);
  assert.deepEqual(corrections.counts, { changed: 1, added: 1, deleted: 1 });
  assert.deepEqual([...corrections.labels], ["Cat", "Tom’s whistle"]);
  assert.deepEqual(corrections.undo(), { text: "deleted", segment: DOG });
  assert.deepEqual(corrections.undo(), { text: "added", segment: null });
  assert.deepEqual(corrections.undo(), { text: "moved", segment: CAT });
  assert.equal(corrections.undo(), null);
  assert.equal(corrections.apply(MODEL), MODEL);
  for (const text of ["moved", "added", "deleted"]) assert.equal(corrections.redo().text, text);
  assert.equal(corrections.redo(), null);
  assert.deepEqual(corrections.apply(MODEL), [added, moved, LATE]);
  corrections.revert("reverted");
  assert.deepEqual([corrections.apply(MODEL), corrections.edited], [MODEL, false]);
  corrections.undo();
  corrections.add({ start: 7, end: 8, label: "Cat" }, "another"); // what was undone is gone
  assert.deepEqual([corrections.canRedo, corrections.counts.added], [false, 2]);
});

test("a segment that is changed back is the model's again, with its score", () => {
  const corrections = made();
  const renamed = corrections.change(DOG, { label: "Wolf" }, "renamed");
  assert.equal(corrections.change(renamed, { label: "Dog" }, "renamed back"), DOG);
  assert.deepEqual([corrections.apply(MODEL), corrections.edited], [MODEL, false]);
  assert.equal(corrections.change(DOG, { start: 1.0002 }, "by less than a millisecond"), DOG);
  assert.equal(corrections.undo().text, "renamed back");
});

test("all segments of a label are renamed or deleted in one edit", () => {
  const corrections = made();
  const fox = corrections.change(LATE, { label: "Fox", end: 9 }, "renamed", { also: [DOG] });
  assert.deepEqual(fox, { start: 8, end: 9, label: "Fox", score: null });
  const found = corrections.apply(MODEL);
  assert.deepEqual(
    found.map(({ label, start, end }) => [label, start, end]),
    [["Fox", 1, 2], ["Cat", 3, 4], ["Fox", 8, 9]],
  );
  corrections.change(fox, { label: "Dog", end: 9.5 }, "renamed back", { also: [found[0]] });
  assert.deepEqual([corrections.apply(MODEL), corrections.edited], [MODEL, false]);
  assert.deepEqual(corrections.undo(), { text: "renamed back", segment: fox });
  corrections.remove(fox, "deleted", [found[0]]);
  assert.deepEqual([corrections.apply(MODEL), corrections.counts], [[CAT], { changed: 0, added: 0, deleted: 2 }]);
  corrections.undo();
  corrections.undo();
  assert.equal(corrections.edited, false);
});

test("segments stay within the recording and are never shorter than the shortest", () => {
  const corrections = made();
  assert.deepEqual(corrections.add({ start: -3, end: 99, label: "Cat" }, "").end, 10);
  const point = corrections.add({ start: 5, end: 5, label: "Cat" }, "");
  assert.equal(point.end, 5 + MIN_SECONDS);
  const late = corrections.add({ start: 12, end: 13, label: "Cat" }, "");
  assert.deepEqual([late.start, late.end], [10 - MIN_SECONDS, 10]);
});

test("repeated small moves of one segment are undone at once", () => {
  const corrections = made();
  let segment = corrections.change(CAT, { label: "Lynx" }, "renamed");
  for (let count = 0; count < 5; count++) segment = corrections.change(segment, { end: segment.end + 0.05 }, "ends later", { merge: "end" });
  assert.equal(segment.end, 4.25);
  segment = corrections.change(segment, { start: 2.9 }, "starts earlier", { merge: "start" });
  assert.deepEqual([corrections.undo().segment.end, corrections.undo().segment.end], [4.25, 4]);
  assert.equal(corrections.undo().text, "renamed");
});

test("corrections stay when the model's segments are others, as at another threshold", () => {
  const corrections = made();
  corrections.remove(DOG, "deleted");
  const renamed = corrections.change(LATE, { label: "Fox" }, "renamed");
  const higher = [{ ...DOG, start: 1.2, end: 1.9 }, { ...LATE, start: 8.1, end: 9 }]; // shorter, and without the cat
  assert.deepEqual(corrections.apply(higher), [renamed]);
  const lower = [{ ...DOG, start: 0, end: 6 }, CAT]; // most of it has not been judged
  assert.deepEqual(corrections.apply(lower), [lower[0], CAT, renamed]);
});

test("only edits since the last save are unsaved", () => {
  const corrections = made();
  assert.equal(corrections.unsaved, false);
  corrections.remove(DOG, "");
  assert.equal(corrections.unsaved, true);
  corrections.markSaved();
  assert.equal(corrections.unsaved, false);
  corrections.remove(CAT, "");
  assert.equal(corrections.unsaved, true);
  corrections.undo();
  assert.equal(corrections.unsaved, false);
});

test("a corrected result is chosen from and saved like any other, without scores that nobody estimated", () => {
  const result = { file: "yard.wav", duration: 10, model: "animals", clip: [], segments: MODEL };
  assert.equal(correctionsOf(result), correctionsOf(result));
  correctionsOf(result).change(DOG, { label: 'my "Dog", loud' }, "renamed");
  correctionsOf(result).remove(LATE, "deleted");
  const found = corrected(result);
  assert.deepEqual([found.edited, only(found, new Set(["Cat"])).segments], [true, [CAT]]);
  assert.deepEqual(result.segments, MODEL);
  assert.equal(JSON.parse(FORMATS.json.text(found)).segments[0].score, null);
  assert.equal(FORMATS.csv.text(found), 'file,start,end,label,score\nyard.wav,1.000,2.000,"my ""Dog"", loud",\nyard.wav,3.000,4.000,Cat,0.8000\n');
  assert.match(FORMATS.srt.text(found), /\nmy "Dog", loud\n\n2\n.*\nCat 80%\n/);
  assert.equal(describe(found.segments[0]), 'my "Dog", loud edited, 0:01.0 to 0:02.0');
});

test("times are read as they are written", () => {
  for (const seconds of [0, 0.05, 65.25, 3600, 35_999.99]) assert.ok(Math.abs(secondsOf(clock(seconds, 2)) - seconds) < 1e-9);
  assert.deepEqual([" 65,5 ", "1:05", ".5", "2."].map(secondsOf), [65.5, 65, 0.5, 2]);
  for (const text of ["", "a", "-1", "1:-2", "1:2:3:4", "1::2", "1e3"]) assert.ok(Number.isNaN(secondsOf(text)), text);
});
