// The engine of the page without a server: the model runs in a worker of this browser, the sound never leaves it.

import { nativeRate } from "./headers.js";
import { readWav } from "./wav.js";

const USUAL_RATE = 48000; // Hz, to decode at where a header does not tell the file's own
const PIECE_S = 10; // of decoded sound that goes to the worker at a time

export class BrowserEngine {
  note = "The sound never leaves this computer: the model runs in your browser.";

  #worker = null;
  #jobs = new Map(); // by number: the function that takes what the worker says of it
  #count = 0;
  #models = null;

  /** [{name, labels, sample_rate, bytes, licence, parameters, measured, default}]. Throws an Error without them. */
  async models() {
    const response = await fetch(new URL("models.json", document.baseURI)).catch(() => null);
    if (!response?.ok) throw new Error("The list of models cannot be loaded: is the network there? Reload the page.");
    this.#models = await response.json();
    return this.#models;
  }

  /**
   * What is heard in a file: Heard, as the server's engine gives it.
   *
   * @param {File} file
   * @param {{model: string, signal?: AbortSignal, progress?: (share: number | null) => void}} wishes
   * @throws {Error} one line on what is wrong with the file; an AbortError once `signal` says so
   */
  async predict(file, { model, signal, progress }) {
    signal?.throwIfAborted();
    progress?.(null); // decoding does not tell how far it is
    const name = file.name ?? "recording";
    const sound = await opened(file, name);
    const described = await this.#described(model);
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const { buffer } = sound;
      const about = buffer ? { rate: buffer.sampleRate, length: buffer.length } : { wav: file };
      let at = 0;
      const job = this.#start({ kind: "predict", model: described, name, ...about }, (said) => {
        if (said.progress !== undefined) progress?.(said.progress);
        if (said.wants) {
          const channels = cut(buffer, at);
          at += channels[0]?.length ?? 0;
          this.#tell(
            { job, kind: "piece", channels },
            channels.map((channel) => channel.buffer),
          );
        }
        if (said.heard) resolve(said.heard);
        if (said.failed) reject(new Error(said.failed));
      });
      const abort = () => {
        this.#tell({ job, kind: "abort" });
        this.#jobs.delete(job);
        reject(signal.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /**
   * Sound as it comes: {push(Float32Array), stop()}. After `stop` the last answers come, then `closed`.
   *
   * @param {{model: string, rate: number, answer: function, closed: function}} wishes answer: called with each Answer;
   *   closed: with null, or with what went wrong
   */
  listen({ model, rate, answer, closed }) {
    const take = (said) => {
      if (said.answer) answer(said.answer);
      if (said.closed !== undefined || said.failed) closed(said.failed ?? said.closed);
    };
    let over = false;
    // Messages keep their order, so what is pushed before the model is known waits for it here.
    const job = this.#described(model).then((described) =>
      this.#start({ kind: "listen", model: described, rate }, take),
    );
    job.catch((error) => closed(error.message));
    const tell = (message, transfer) =>
      job.then(
        (number) => this.#tell({ job: number, ...message }, transfer),
        () => {},
      );
    return {
      push(samples) {
        if (over) return;
        const copy = Float32Array.from(samples);
        tell({ kind: "push", samples: copy }, [copy.buffer]);
      },
      stop() {
        if (!over) tell({ kind: "stop" });
        over = true;
      },
    };
  }

  async #described(name) {
    const found = (this.#models ?? (await this.models())).find((one) => one.name === name);
    if (!found) throw new Error(`No model is called ${name}.`);
    return { name, facts: found.facts, url: new URL(found.path, document.baseURI).href };
  }

  /** Has the worker begin a job; its number. take: called with all that it says, until it has ended. */
  #start(message, take) {
    const job = ++this.#count;
    this.#jobs.set(job, take);
    this.#tell({ job, ...message });
    return job;
  }

  #tell(message, transfer = []) {
    this.#worker ??= this.#hire();
    this.#worker.postMessage(message, transfer);
  }

  #hire() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { job, ...said } }) => {
      const take = this.#jobs.get(job);
      if (said.heard || said.failed || said.closed !== undefined) this.#jobs.delete(job);
      take?.(said);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      this.#worker = null;
      const failed = `The model stopped: ${event.message || "it cannot be loaded, or memory ran out"}. Try again.`;
      const takes = [...this.#jobs.values()];
      this.#jobs.clear();
      for (const take of takes) take({ failed });
    };
    return worker;
  }
}

/** {buffer: AudioBuffer} at the file's own rate, or {} where it is a WAV file, which the worker reads by itself. */
async function opened(file, name) {
  if (!file.size) throw new Error(`${name}: is empty (0 bytes): copy or record it again.`);
  let data;
  let rate;
  try {
    if (await readWav(file, name)) return {};
    rate = (await nativeRate(file)) ?? USUAL_RATE;
    data = await file.arrayBuffer();
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof RangeError)) throw error;
    throw new Error(
      `${name}: cannot be read, or is larger than this browser can decode: give a part of it, or a WAV file.`,
    );
  }
  try {
    return { buffer: await decoder(rate).decodeAudioData(data) };
  } catch {
    throw new Error(
      `${name}: this browser finds no sound in it that it can decode: convert it to WAV, or use ainext predict.`,
    );
  }
}

/** What decodes to a rate: browsers have their limits, and then resample to one that they do have. */
function decoder(rate) {
  try {
    return new OfflineAudioContext(1, 1, rate);
  } catch {
    return new OfflineAudioContext(1, 1, USUAL_RATE);
  }
}

/** The next seconds of all channels: Float32Array each; none at the end. */
function cut(buffer, start) {
  const count = Math.min(PIECE_S * buffer.sampleRate, buffer.length - start);
  if (count <= 0) return [];
  return Array.from({ length: buffer.numberOfChannels }, (_, channel) => {
    const piece = new Float32Array(count);
    buffer.copyFromChannel(piece, channel, start);
    return piece;
  });
}
