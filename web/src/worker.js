// The thread that holds the model and computes. engine.js describes its messages.

import * as ort from "onnxruntime-web/wasm";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import otherSounds from "../../src/audioinceptionnext/teaching/other_sounds.opus?url";
import { concatenate } from "./numbers.js";
import { Recogniser } from "./recogniser.js";
import { SoundTrack } from "./soundtrack.js";
import { Stream } from "./stream.js";
import { embed } from "./teach-features.js";
import { otherFeatures, teach } from "./teach.js";

const MAX_BACKLOG_S = 300; // live samples that wait for a slow computer, or for the model to be loaded
const MAX_THREADS = 4;

// Loaded from the page's own folder, never from another site.
ort.env.wasm.wasmPaths = { mjs: new URL(glue, import.meta.url).href, wasm: new URL(wasm, import.meta.url).href };

const jobs = new Map();
let loaded = null; // {url, recogniser}: the one model in memory
let previous = Promise.resolve(); // ends when all work so far has: the model does one thing at a time

self.onmessage = ({ data }) => {
  const { job, kind } = data;
  if (kind === "predict") start(job, new Prediction(data));
  else if (kind === "stream") start(job, new LiveStream(data));
  else if (kind === "embed") start(job, new Embedding(data));
  else if (kind === "teach") start(job, new Lesson(data));
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

async function load(model) {
  const { name, metadata, url } = model;
  if (loaded?.url === url) return loaded.recogniser;
  const content = await contentOf(model);
  await loaded?.recogniser.close();
  loaded = null;
  const threads = self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
  loaded = { url, recogniser: await Recogniser.open(name, metadata, content, threads) };
  return loaded.recogniser;
}

/** The bytes of a model's file. */
async function contentOf({ name, url }) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new Error(`The model ${name} cannot be loaded. Check the network and try again.`);
  return new Uint8Array(await response.arrayBuffer());
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

/** The features of one example. */
class Embedding {
  constructor({ job, model, file, name }) {
    Object.assign(this, { job, model, file, name });
  }

  async run() {
    const track = await SoundTrack.open(this.file, this.name);
    try {
      const result = await inTurn(async () => {
        const recogniser = await load(this.model);
        return embed(recogniser, track.waveform(recogniser.sampleRate));
      });
      self.postMessage({ job: this.job, result });
    } finally {
      track.close();
    }
  }
}

/** A model that learns from examples. */
class Lesson {
  constructor({ job, model, name, examples }) {
    Object.assign(this, { job, model, name, examples });
  }

  async run() {
    const result = await inTurn(async () => {
      const { name, model, examples } = this;
      return teach(await contentOf(model), { name, from: model.name, examples, others: await othersOf(model) });
    });
    self.postMessage({ job: this.job, result });
  }
}

const others = new Map(); // by the name of a model: the features of sounds that are none of what it is taught

async function othersOf(model) {
  if (others.has(model.name)) return others.get(model.name);
  if (typeof AudioDecoder === "undefined") throw new Error("Teaching needs a newer browser, or a page from https or localhost.");
  const recogniser = await load(model);
  const response = await fetch(new URL(otherSounds, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new Error("The sounds to tell yours from cannot be loaded. Check the network and try again.");
  const track = await SoundTrack.open(await response.blob(), "other sounds");
  const blocks = [];
  try {
    for await (const block of track.waveform(recogniser.sampleRate)) blocks.push(block);
  } finally {
    track.close();
  }
  others.set(model.name, await otherFeatures(recogniser, concatenate(blocks)));
  return others.get(model.name);
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
