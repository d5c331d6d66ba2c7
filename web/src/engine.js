// The engine that runs models in a worker of this browser, and teaches them there. It has the methods of the server's
// (page/server.js), and the recordings never leave the computer.
//
// Messages to the worker: {job, kind: "predict" or "embed", model, name, file}; {job, kind: "teach", model, name, examples};
// {job, kind: "stream", model, rate}, "push" with samples, "stop". Messages from the worker: {job, progress}, {job, step}, and
// at the end one of {job, result}, {job, closed} and {job, error}.

import { Store } from "../../src/audioinceptionnext/page/teach_store.js";

export class BrowserEngine {
  note = "Recordings never leave this computer: the model runs in your browser.";
  teachNote = "Everything stays in this browser: the examples, and the model that learns from them.";
  parallel = false; // whether the microphone can be recognised while a file is
  offers = ["teach"]; // what else the page can do with this engine; see page/server.js

  #worker = null;
  #jobs = new Map(); // by number: the function that handles the worker's messages
  #count = 0;
  #models = null;
  #taught = null; // by name: {entry, content: a Blob, url}

  /** [{name, labels, groups, sample_rate, mode, bytes, licence, parameters, measured, default}], or throws an Error. */
  async models() {
    const response = await fetch(new URL("models.json", document.baseURI)).catch(() => null);
    if (!response?.ok) throw new Error("The list of models cannot be loaded. Check the network and reload the page.");
    this.#models = await response.json();
    await this.#openTaught();
    return [...this.#models, ...[...this.#taught.values()].map(({ entry }) => entry)];
  }

  async #openTaught() {
    if (this.#taught) return;
    this.store = await Store.open();
    const kept = await this.store.all("models").catch(() => []);
    this.#taught = new Map(kept.map(({ id, entry, content }) => [id, { entry, content, url: URL.createObjectURL(content) }]));
  }

  /** {label: name} of all models, in a language such as "de"; groups have names, too. */
  async names(language) {
    const response = await fetch(new URL(`names/${language}.json`, document.baseURI));
    if (!response.ok) throw new Error("The names cannot be loaded.");
    return response.json();
  }

  /**
   * The Result of a file (see page/server.js).
   *
   * @param {File} file
   * @param {{model: string, signal?: AbortSignal, onProgress?: ({phase: string, share: number | null}) => void}} options phase:
   *   "preparing" or "recognising"
   * @throws {Error} one line on what is wrong with the file; an AbortError when `signal` is aborted
   */
  async predict(file, { model, signal, onProgress }) {
    onProgress?.({ phase: "preparing", share: null });
    return this.#result({ kind: "predict", name: file.name ?? "recording", file }, model, signal, onProgress);
  }

  /** What `teach` needs of an example: {features, duration, silent}. Options as for `predict`, and the example's name. */
  embed(file, { name, model, signal }) {
    return this.#result({ kind: "embed", name, file }, model, signal);
  }

  /** Teaches a model sounds (see page/server.js), and keeps it in this browser. */
  async teach({ name, from, examples }, { signal }) {
    const { content: bytes, metadata, ...outcome } = await this.#result({ kind: "teach", name, examples }, from, signal);
    const content = new Blob([bytes], { type: "application/octet-stream" });
    const { sample_rate, mode, licence } = this.#models.find((one) => one.name === from);
    const { measured } = JSON.parse(metadata.info);
    const about = { sample_rate, mode, licence, measured, bytes: content.size, parameters: Number(metadata.parameters) };
    const entry = { name, labels: JSON.parse(metadata.labels), groups: {}, ...about, taught: true, default: false, metadata };
    const before = this.#taught.get(name);
    if (before) URL.revokeObjectURL(before.url);
    this.#taught.set(name, { entry, content, url: URL.createObjectURL(content) });
    const note = await this.store.put("models", { id: name, entry, content }).catch((error) => error.message);
    return { ...outcome, note };
  }

  /** The file of a model that was taught here, as a Blob. */
  async modelFile(name) {
    return this.#taught.get(name).content;
  }

  /** Deletes a model that was taught here. */
  async forget(name) {
    URL.revokeObjectURL(this.#taught.get(name).url);
    this.#taught.delete(name);
    await this.store.delete("models", name);
  }

  /** What the worker gives in the end for a message about a model. */
  async #result(message, model, signal, onProgress) {
    signal?.throwIfAborted();
    const entry = await this.#model(model);
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const job = this.#start({ ...message, model: entry }, (message) => {
        if (message.progress !== undefined) onProgress?.({ phase: "recognising", share: message.progress });
        if (message.result) resolve(message.result);
        if (message.error) reject(new Error(message.error));
      });
      const abort = () => {
        reject(signal.reason);
        if (this.#jobs.has(job)) this.#stop("It was cancelled."); // the thread itself would have to end its block first
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
    if (!this.#models) await this.models();
    const taught = this.#taught.get(name);
    if (taught) return { name, metadata: taught.entry.metadata, url: taught.url };
    const found = this.#models.find((one) => one.name === name);
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
      this.#stop(`The model stopped: ${event.message || "it cannot be loaded, or memory ran out"}. Try again.`);
    };
    return worker;
  }

  /** Ends the worker and all jobs; the next job starts another one. */
  #stop(error) {
    this.#worker?.terminate();
    this.#worker = null;
    const handlers = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const handle of handlers) handle({ error });
  }
}
