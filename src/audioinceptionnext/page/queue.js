// Recordings that an engine (see server.js) recognises one after another, and what has become of each.
import { TimeLeft } from "./time_left.js";

const MAX_TRIES = 20; // of a recording that a busy server refuses
const MAX_BYTES = 150_000_000; // of pictures and probabilities that results hold; the oldest ones lose theirs

/** One recording. state: "waiting", "running", "done", "failed" or "cancelled". */
export class Entry {
  /** file: null for a result that the server has kept. model: its name. batch: what was added together with it. */
  constructor(file, name, model, batch) {
    Object.assign(this, { file, name, model, batch, state: "waiting" });
    this.progress = null; // while it runs: {phase, share, left}, as engines report it, and the seconds that are left
    this.result = null; // the Result; see server.js
    this.problem = null; // one line, if it failed
    this.tries = 0;
  }

  /** The address at which the browser finds the recording; null if there is none. */
  get url() {
    if (this.file) this.objectUrl ??= URL.createObjectURL(this.file);
    return this.objectUrl ?? null;
  }

  get isVideo() {
    return Boolean(this.file?.type.startsWith("video/"));
  }

  release() {
    if (this.objectUrl) URL.revokeObjectURL(this.objectUrl);
    this.objectUrl = null;
  }
}

export class Queue {
  #paused = false;
  #held = null; // a timer, while a busy server has asked to wait

  /** onChange(entry): called when an entry changes, is added or is removed. */
  constructor(engine, onChange) {
    // shown: the entry whose result is on the page, and has to stay whole.
    Object.assign(this, { engine, onChange, entries: [], running: null, shown: null });
  }

  /** Adds files to be recognised by a model; returns their entries. after: the entry that they follow; the last one unless given. */
  add(files, model, after = this.entries.at(-1)) {
    const batch = {};
    const added = files.map((file) => new Entry(file, file.name ?? "recording", model, batch));
    this.entries.splice(this.entries.indexOf(after) + 1, 0, ...added);
    added.forEach((entry) => this.onChange(entry));
    this.#next();
    return added;
  }

  /** Adds a recording with its result. file: null if it is not here. */
  addResult(result, file) {
    const entry = new Entry(file, result.file, result.model, {});
    this.entries.push(entry);
    this.#finish(entry, result);
    return entry;
  }

  /** Cancels an entry that waits or runs. */
  cancel(entry) {
    if (entry.state === "running") entry.abort.abort();
    else if (entry.state === "waiting") this.#set(entry, "cancelled");
  }

  /** Recognises an entry that failed or was cancelled, after those that wait. */
  retry(entry) {
    entry.tries = 0;
    this.#set(entry, "waiting");
    this.#next();
  }

  /** Removes an entry; one that runs is cancelled. */
  remove(entry) {
    this.cancel(entry);
    this.entries = this.entries.filter((one) => one !== entry);
    entry.release();
    this.onChange(entry);
  }

  /** While the queue is paused, the entry that runs goes on, and no other one begins. */
  set paused(paused) {
    this.#paused = paused;
    this.#next();
  }

  get paused() {
    return this.#paused;
  }

  count(...states) {
    return this.entries.filter(({ state }) => states.includes(state)).length;
  }

  #set(entry, state, problem = null) {
    Object.assign(entry, { state, problem, progress: null });
    this.onChange(entry);
  }

  #next() {
    const entry = this.entries.find(({ state }) => state === "waiting");
    if (entry && !this.running && !this.#paused && !this.#held) this.#run(entry);
  }

  async #run(entry) {
    this.running = entry;
    entry.abort = new AbortController();
    this.#set(entry, "running");
    let timing = new TimeLeft();
    let phase = null;
    const onProgress = (progress) => {
      if (progress.phase !== phase) [timing, phase] = [new TimeLeft(), progress.phase];
      entry.progress = { ...progress, left: timing.update(progress.share) };
      this.onChange(entry);
    };
    try {
      const { signal } = entry.abort;
      const result = await this.engine.predict(entry.file, { model: entry.model, signal, onProgress });
      this.running = null;
      this.#finish(entry, result);
    } catch (error) {
      this.running = null;
      if (error.name === "AbortError") this.#set(entry, "cancelled");
      else if (error.retryAfter && ++entry.tries < MAX_TRIES) this.#wait(entry, error);
      else this.#set(entry, "failed", error.message);
    }
    this.#next();
  }

  #wait(entry, error) {
    this.#held = setTimeout(() => {
      this.#held = null;
      this.#next();
    }, 1000 * error.retryAfter);
    this.#set(entry, "waiting", "The server is busy.");
  }

  #finish(entry, result) {
    entry.result = result;
    entry.finished = performance.now();
    this.#save(entry);
    this.#set(entry, "done");
  }

  /** Keeps memory bounded: the results that were finished first lose what takes the most of it. latest: an entry that does not. */
  #save(latest) {
    const whole = [latest.result, this.shown?.result];
    const finished = this.entries.filter(({ result }) => result).sort((a, b) => a.finished - b.finished);
    let bytes = finished.reduce((sum, { result }) => sum + bytesOf(result), 0);
    for (const { result } of finished) {
      if (bytes <= MAX_BYTES) return;
      if (whole.includes(result)) continue;
      bytes -= bytesOf(result);
      // The Result itself stays, and with it what people have corrected.
      Object.assign(result, { log_mel: null, likely_steps: null, incomplete: true });
    }
  }
}

function bytesOf({ log_mel, likely_steps, segments }) {
  return (log_mel?.data.byteLength ?? 0) + (likely_steps?.data.byteLength ?? 0) + 200 * segments.length;
}
