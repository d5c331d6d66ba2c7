import assert from "node:assert/strict";
import { test } from "node:test";
import { colourOf, coloursOf, inkOn } from "../../src/audioinceptionnext/page/colours.js";
import { Queue } from "../../src/audioinceptionnext/page/queue.js";
import { inWords, TimeLeft } from "../../src/audioinceptionnext/page/time_left.js";

/** An engine whose predictions end when the test says so. */
class Engine {
  open = [];

  predict(file, { model, signal, onProgress }) {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
      this.open.push({ file, model, onProgress, reject, resolve: (bytes = 1) => resolve(result(file.name, model, bytes)) });
    });
  }
}

function result(file, model, bytes) {
  return { file, model, segments: [], log_mel: { data: new Uint8Array(1) }, likely_steps: { data: new Uint8Array(bytes) } };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));
const states = (queue) => queue.entries.map(({ state }) => state).join(" ");

test("one recording runs at a time, in order, with the model that was selected when it was added", async () => {
  const engine = new Engine();
  const queue = new Queue(engine, () => {});
  const [a, b] = queue.add([{ name: "a" }, { name: "b" }], "small");
  const [c] = queue.add([{ name: "c" }], "large", a); // after the first one
  assert.equal(states(queue), "running waiting waiting");
  assert.deepEqual(queue.entries, [a, c, b]);
  engine.open[0].resolve();
  await settled();
  assert.deepEqual([engine.open[1].file.name, engine.open[1].model], ["c", "large"]);
  queue.paused = true; // while the microphone is used
  engine.open[1].reject(new Error("c: damaged"));
  await settled();
  assert.equal(states(queue), "done failed waiting");
  assert.equal(c.problem, "c: damaged");
  queue.paused = false;
  queue.retry(c);
  queue.cancel(b);
  await settled();
  assert.deepEqual([states(queue), engine.open.at(-1).file.name], ["done running cancelled", "c"]);
  queue.remove(c);
  assert.deepEqual(queue.entries, [a, b]);
});

test("a busy server is asked again", async () => {
  const engine = new Engine();
  const queue = new Queue(engine, () => {});
  const [a] = queue.add([{ name: "a" }], "small");
  engine.open[0].reject(Object.assign(new Error("busy"), { retryAfter: 0.01 }));
  await settled();
  assert.deepEqual([a.state, a.problem, engine.open.length], ["waiting", "The server is busy.", 1]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual([a.state, engine.open.length], ["running", 2]);
});

test("of many long recordings, the oldest lose what takes memory, and keep their segments", async () => {
  const engine = new Engine();
  const queue = new Queue(engine, () => {});
  const entries = queue.add(Array.from({ length: 4 }, (_, n) => ({ name: `${n}` })), "small");
  queue.shown = entries[1];
  for (let n = 0; n < 4; n++) {
    engine.open[n].resolve(60_000_000);
    await settled();
  }
  assert.deepEqual(
    entries.map(({ result }) => Boolean(result.likely_steps)),
    [false, true, false, true], // the one that is shown stays whole
  );
  assert.ok(entries.every(({ result }) => result.segments));
});

test("the time that is left follows the speed of the last seconds", () => {
  const timing = new TimeLeft();
  assert.equal(timing.update(null, 0), null);
  assert.equal(timing.update(0, 10), null);
  assert.equal(timing.update(0.01, 11), null); // too early
  assert.equal(Math.round(timing.update(0.1, 20)), 90);
  for (let second = 21; second < 100; second++) timing.update(0.1 + (second - 20) * 0.005, second); // half as fast
  assert.equal(Math.round(timing.update(0.5, 100)), 100);
  assert.deepEqual([2, 8.4, 42, 50, 57, 200, 3 * 3600 + 62].map(inWords), [
    "a few seconds left",
    "about 8 s left",
    "about 40 s left",
    "about 50 s left",
    "about 1 min left",
    "about 3 min left",
    "about 3 h 1 min left",
  ]);
});

test("a label has one colour everywhere, and labels that are shown together have different ones", () => {
  const labels = Array.from({ length: 40 }, (_, n) => `sound ${n}`);
  const segments = labels.map((label, n) => ({ start: 0, end: 1 + n, label }));
  const colours = coloursOf({ segments });
  assert.deepEqual([...colours.keys()], labels.toReversed()); // those with the most time first
  assert.equal(new Set(colours.values()).size, 40);
  assert.deepEqual(coloursOf({ segments: segments.slice(3, 5) }).get("sound 3"), colours.get("sound 3"));
  assert.equal(colourOf("Sound-3"), colours.get("sound 3")); // as another model writes it
  for (const [dark, field] of [
    [false, "#eef1f3"],
    [true, "#26292d"],
  ]) {
    globalThis.matchMedia = () => ({ matches: dark });
    for (const colour of coloursOf({ segments }).values()) {
      assert.ok(contrast(colour, inkOn(colour)) >= 4.5, colour);
      assert.ok(contrast(colour, field) >= 3, `${colour} on ${field}`);
    }
  }
  delete globalThis.matchMedia;
});

/** The contrast of two colours, as WCAG defines it. */
function contrast(one, other) {
  const [high, low] = [one, other].map(luminance).sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour) {
  const digits = colour.length === 4 ? [...colour.slice(1)].map((digit) => digit + digit) : colour.slice(1).match(/../g);
  const [r, g, b] = digits.map((byte) => parseInt(byte, 16) / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
