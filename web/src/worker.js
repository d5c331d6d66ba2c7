// The thread that holds the model and computes. engine.js describes its messages.

import * as ort from "onnxruntime-web/wasm";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { concatenate } from "./numbers.js";
import { Recogniser } from "./recogniser.js";
import { SoundTrack } from "./soundtrack.js";
import { Stream } from "./stream.js";

const MAX_BACKLOG_S = 300; // live samples that wait for a slow computer, or for the model to be loaded
const MAX_THREADS = 4;

// Loaded from the page's own folder, never from another site.
ort.env.wasm.wasmPaths = { mjs: new URL(glue, import.meta.url).href, wasm: new URL(wasm, import.meta.url).href };

const jobs = new Map();
let loaded = null; // the one model in memory
let previous = Promise.resolve(); // ends when all work so far has: the model does one thing at a time

self.onmessage = ({ data }) => {
  const { job, kind } = data;
  if (kind === "predict") start(job, new Prediction(data));
  else if (kind === "stream") start(job, new LiveStream(data));
  else jobs.get(job)?.[kind](data);
};

function start(job, work) {
  jobs.set(job, work);
  work
    .run()
    .catch((error) => self.postMessage({ job, error: error.message || String(error) }))
    .finally(() => jobs.delete(job));
}

/** Runs work that uses the model after all earlier work. */
function inTurn(work) {
  const done = previous.then(work);
  previous = done.catch(() => {});
  return done;
}

async function load({ name, metadata, url }) {
  if (loaded?.name === name) return loaded;
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new Error(`The model ${name} cannot be loaded. Check the network and try again.`);
  const content = new Uint8Array(await response.arrayBuffer());
  await loaded?.close();
  loaded = null;
  const threads = self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
  loaded = await Recogniser.open(name, metadata, content, threads);
  return loaded;
}

/** The prediction of one file. */
class Prediction {
  constructor({ job, model, file, name }) {
    Object.assign(this, { job, model, file, name });
  }

  async run() {
    const track = await SoundTrack.open(this.file, this.name);
    try {
      const result = await inTurn(async () => {
        const recogniser = await load(this.model);
        const share = (seconds) => (track.length ? Math.min(1, seconds / track.length) : null);
        const onProgress = (seconds) => self.postMessage({ job: this.job, progress: share(seconds) });
        onProgress(0);
        const waveform = track.waveform(recogniser.sampleRate);
        return recogniser.predict(this.name, waveform, onProgress, recogniser.labels.length);
      });
      self.postMessage({ job: this.job, result: { ...result, warnings: track.warnings() } });
    } finally {
      track.close();
    }
  }
}

/** One live stream. */
class LiveStream {
  constructor({ job, model, rate }) {
    Object.assign(this, { job, model, rate });
    this.waiting = []; // blocks of samples
    this.samples = 0; // in them
    this.stopped = false;
    this.wake = () => {};
  }

  async run() {
    const stream = await inTurn(async () => new Stream(await load(this.model), this.rate));
    while (this.waiting.length || !this.stopped) {
      if (this.samples > MAX_BACKLOG_S * this.rate)
        throw new Error("This computer is too slow for the model: choose a smaller one.");
      const block = this.#take();
      if (block) this.#send(await inTurn(() => stream.push(block)));
      else await new Promise((resolve) => (this.wake = resolve));
    }
    this.#send(await inTurn(() => stream.finish()));
    self.postMessage({ job: this.job, closed: true });
  }

  push({ samples }) {
    this.waiting.push(samples);
    this.samples += samples.length;
    this.wake();
  }

  stop() {
    this.stopped = true;
    this.wake();
  }

  #take() {
    const block = this.waiting.length ? concatenate(this.waiting) : null;
    this.waiting = [];
    this.samples = 0;
    return block;
  }

  #send(steps) {
    for (const step of steps) self.postMessage({ job: this.job, step });
  }
}
