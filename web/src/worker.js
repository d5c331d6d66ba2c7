// In a thread of its own: the model, and all that is computed. What it is told and what it says: see engine.js.

import * as ort from "onnxruntime-web/wasm";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { mono } from "./mixing.js";
import { concatenated } from "./numbers.js";
import { Recogniser } from "./recogniser.js";
import { resampled } from "./sound.js";
import { Stream } from "./stream.js";
import { readWav } from "./wav.js";

const MOST_BEHIND = 300; // seconds of live sound that wait for a slow computer, or for the model to be loaded
const MOST_THREADS = 4;

// Beside this file, never from elsewhere.
ort.env.wasm.wasmPaths = { mjs: new URL(glue, import.meta.url).href, wasm: new URL(wasm, import.meta.url).href };

const jobs = new Map();
let loaded = null; // the one model in memory
let before = Promise.resolve(); // the work begun so far: the model hears one thing at a time

self.onmessage = ({ data }) => {
  const { job, kind } = data;
  if (kind === "predict") begin(job, new Prediction(data));
  else if (kind === "listen") begin(job, new Listening(data));
  else jobs.get(job)?.[kind](data);
};

function begin(job, work) {
  jobs.set(job, work);
  work
    .run()
    .catch((error) => {
      if (!(error instanceof Aborted)) self.postMessage({ job, failed: error.message || String(error) });
    })
    .finally(() => jobs.delete(job));
}

/** Runs what uses the model once all before it has. */
function inTurn(work) {
  const done = before.then(work);
  before = done.catch(() => {});
  return done;
}

async function recogniser({ name, facts, url }) {
  if (loaded?.name === name) return loaded;
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new Error(`The model ${name} cannot be loaded: is the network there? Try again.`);
  const content = new Uint8Array(await response.arrayBuffer());
  await loaded?.close();
  loaded = null;
  const threads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  loaded = await Recogniser.open(name, facts, content, threads);
  return loaded;
}

class Aborted extends Error {}

/** One file. */
class Prediction {
  constructor({ job, model, name, wav, rate, length }) {
    Object.assign(this, { job, model, name, wav, rate, length });
    this.aborted = false;
    this.arrived = null; // takes the piece that was asked for
  }

  async run() {
    const heard = await inTurn(async () => {
      this.#check();
      const model = await recogniser(this.model);
      const { rate, length, pieces } = this.wav
        ? await readWav(this.wav, this.name)
        : { ...this, pieces: this.#pieces() };
      const seconds = length / rate;
      const progress = (done) => self.postMessage({ job: this.job, progress: Math.min(1, done / seconds) });
      progress(0);
      return model.predict(this.name, resampled(this.#checked(pieces), rate, model.sampleRate), progress);
    });
    self.postMessage({ job: this.job, heard });
  }

  piece({ channels }) {
    this.arrived?.(channels);
  }

  abort() {
    this.aborted = true;
    this.arrived?.([]);
  }

  #check() {
    if (this.aborted) throw new Aborted();
  }

  async *#checked(pieces) {
    for await (const piece of pieces) {
      this.#check();
      yield piece;
    }
    this.#check();
  }

  async *#pieces() {
    for (;;) {
      const channels = await new Promise((resolve) => {
        this.arrived = resolve;
        self.postMessage({ job: this.job, wants: true });
      });
      if (!channels.length) return;
      yield mono(channels);
    }
  }
}

/** One live stream. */
class Listening {
  constructor({ job, model, rate }) {
    Object.assign(this, { job, model, rate });
    this.waiting = []; // pieces of sound
    this.samples = 0; // in them
    this.stopped = false;
    this.changed = () => {};
  }

  async run() {
    const stream = await inTurn(async () => new Stream(await recogniser(this.model), this.rate));
    while (this.waiting.length || !this.stopped) {
      if (this.samples > MOST_BEHIND * this.rate)
        throw new Error("This computer is too slow for the model: choose a smaller one.");
      const piece = this.#take();
      if (piece) this.#answer(await inTurn(() => stream.push(piece)));
      else await new Promise((resolve) => (this.changed = resolve));
    }
    this.#answer(await inTurn(() => stream.finish()));
    self.postMessage({ job: this.job, closed: null });
  }

  push({ samples }) {
    this.waiting.push(samples);
    this.samples += samples.length;
    this.changed();
  }

  stop() {
    this.stopped = true;
    this.changed();
  }

  #take() {
    const piece = this.waiting.length ? concatenated(this.waiting) : null;
    this.waiting = [];
    this.samples = 0;
    return piece;
  }

  #answer(answers) {
    for (const answer of answers) self.postMessage({ job: this.job, answer });
  }
}
