// The engine that runs the model in a worker of this browser. It has the methods of the server's (page/server.js), and
// the recordings never leave the computer.
//
// Messages to the worker: {job, kind: "predict", model, name, wav} or {…, rate, length}; "block" with channels, for each
// {requestsBlock} of the worker; "abort". {job, kind: "stream", model, rate}; "push" with samples; "stop".
// Messages from the worker: {job, progress}, {job, requestsBlock}, {job, step}, and at the end one of {job, result},
// {job, closed} and {job, error}.

import { nativeRate } from "./headers.js";
import { readWav } from "./wav.js";

const FALLBACK_RATE = 48000; // Hz, to decode at if a header does not state the file's own rate
const BLOCK_S = 10; // of decoded samples that go to the worker at a time

export class BrowserEngine {
  note = "Recordings never leave this computer: the model runs in your browser.";

  #worker = null;
  #jobs = new Map(); // by number: the function that handles the worker's messages
  #count = 0;
  #models = null;

  /** [{name, labels, sample_rate, mode, bytes, licence, parameters, measured, default}]. Throws an Error without them. */
  async models() {
    const response = await fetch(new URL("models.json", document.baseURI)).catch(() => null);
    if (!response?.ok) throw new Error("The list of models cannot be loaded. Check the network and reload the page.");
    this.#models = await response.json();
    return this.#models;
  }

  /**
   * The Result of a file (see page/server.js).
   *
   * @param {File} file
   * @param {{model: string, signal?: AbortSignal, onProgress?: (share: number | null) => void}} options
   * @throws {Error} one line on what is wrong with the file; an AbortError when `signal` is aborted
   */
  async predict(file, { model, signal, onProgress }) {
    signal?.throwIfAborted();
    onProgress?.(null); // decoding does not report its progress
    const name = file.name ?? "recording";
    const buffer = await decode(file, name);
    const entry = await this.#model(model);
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const input = buffer ? { rate: buffer.sampleRate, length: buffer.length } : { wav: file };
      let start = 0;
      const job = this.#start({ kind: "predict", model: entry, name, ...input }, (message) => {
        if (message.progress !== undefined) onProgress?.(message.progress);
        if (message.requestsBlock) {
          const channels = blockOf(buffer, start);
          start += channels[0]?.length ?? 0;
          this.#post(
            { job, kind: "block", channels },
            channels.map((channel) => channel.buffer),
          );
        }
        if (message.result) resolve(message.result);
        if (message.error) reject(new Error(message.error));
      });
      const abort = () => {
        this.#post({ job, kind: "abort" });
        this.#jobs.delete(job);
        reject(signal.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /**
   * Recognises samples as they arrive: {push(samples: Float32Array), stop()}. After `stop` the last steps follow.
   *
   * @param {{model: string, rate: number, onStep: function, onClose: function}} options onStep: called with each Step;
   *   onClose: called at the end, with null or with a line on what went wrong
   */
  openStream({ model, rate, onStep, onClose }) {
    const handle = (message) => {
      if (message.step) onStep(message.step);
      if (message.closed || message.error) onClose(message.error ?? null);
    };
    let stopped = false;
    // Messages keep their order, so samples that are pushed before the model is known wait for it here.
    const job = this.#model(model).then((entry) => this.#start({ kind: "stream", model: entry, rate }, handle));
    job.catch((error) => onClose(error.message));
    const post = (message, transfer) =>
      job.then(
        (number) => this.#post({ job: number, ...message }, transfer),
        () => {},
      );
    return {
      push(samples) {
        if (stopped) return;
        const copy = Float32Array.from(samples);
        post({ kind: "push", samples: copy }, [copy.buffer]);
      },
      stop() {
        if (!stopped) post({ kind: "stop" });
        stopped = true;
      },
    };
  }

  async #model(name) {
    const found = (this.#models ?? (await this.models())).find((one) => one.name === name);
    if (!found) throw new Error(`No model is called ${name}.`);
    return { name, metadata: found.metadata, url: new URL(found.path, document.baseURI).href };
  }

  /** Starts a job in the worker and returns its number. handle: called with each of its messages, until it has ended. */
  #start(message, handle) {
    const job = ++this.#count;
    this.#jobs.set(job, handle);
    this.#post({ job, ...message });
    return job;
  }

  #post(message, transfer = []) {
    this.#worker ??= this.#createWorker();
    this.#worker.postMessage(message, transfer);
  }

  #createWorker() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { job, ...message } }) => {
      const handle = this.#jobs.get(job);
      if (message.result || message.error || message.closed) this.#jobs.delete(job);
      handle?.(message);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      this.#worker = null;
      const error = `The model stopped: ${event.message || "it cannot be loaded, or memory ran out"}. Try again.`;
      const handlers = [...this.#jobs.values()];
      this.#jobs.clear();
      for (const handle of handlers) handle({ error });
    };
    return worker;
  }
}

/** The file as an AudioBuffer at its own rate; null for a WAV file, which the worker reads itself. */
async function decode(file, name) {
  if (!file.size) throw new Error(`${name}: is empty (0 bytes): copy or record it again.`);
  let data;
  let rate;
  try {
    if (await readWav(file, name)) return null;
    rate = (await nativeRate(file)) ?? FALLBACK_RATE;
    data = await file.arrayBuffer();
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof RangeError)) throw error;
    throw new Error(
      `${name}: cannot be read, or is larger than this browser can decode: give a part of it, or a WAV file.`,
    );
  }
  try {
    return await contextOf(rate).decodeAudioData(data);
  } catch {
    throw new Error(
      `${name}: this browser finds no sound in it that it can decode: convert it to WAV, or use ainext predict.`,
    );
  }
}

/** A context that decodes to this rate, or to a usual one if the browser does not support it. */
function contextOf(rate) {
  try {
    return new OfflineAudioContext(1, 1, rate);
  } catch {
    return new OfflineAudioContext(1, 1, FALLBACK_RATE);
  }
}

/** The next seconds of all channels, a Float32Array each; none at the end. */
function blockOf(buffer, start) {
  const count = Math.min(BLOCK_S * buffer.sampleRate, buffer.length - start);
  if (count <= 0) return [];
  return Array.from({ length: buffer.numberOfChannels }, (_, channel) => {
    const block = new Float32Array(count);
    buffer.copyFromChannel(block, channel, start);
    return block;
  });
}
