// The engine that uses a server's HTTP interface. web/src/engine.js has the same methods and runs the model in the browser.

import { decodeLikelySteps } from "./likely_steps.js";
import { decodeLogMel } from "./spectrogram.js";

const LOCAL = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
const MAX_TOP_K = 1000; // that the server accepts

/**
 * @typedef {{label: string, score: number}} Score
 * @typedef {{start: number, end: number, label: string, score: number}} Segment times in seconds
 * @typedef {{columns: number, bands: number, sample_rate: number, data: Uint8Array}} LogMel data: column after column,
 *   the lowest band first
 *
 * What a model recognised in one recording: the JSON object that `ainext predict` prints, with the scores of all labels,
 * the model's sample rate, a log-mel to draw, the steps of likely labels (see likely_steps.js), lines about what was wrong
 * with the file, and if the server keeps the result, its id and until when.
 * @typedef {{file: string, duration: number, model: string, clip: Score[], segments: Segment[], sample_rate: number,
 *   log_mel: ?LogMel, likely_steps: ?LikelySteps, warnings: ?(string[]), kept: ?{id: string, until: string},
 *   incomplete: ?boolean}} Result incomplete: whether recognising the recording again would give more than is there
 *
 * One prediction of a live stream, with the probability of each label, the segments that it completes, and those that
 * are still open; label is null in digital silence; warnings are lines about what is wrong with the sound, if anything is.
 * @typedef {{start: number, end: number, delay: number, label: ?string, score: number, probabilities: Object<string, number>,
 *   segments: Segment[], open: Segment[], log_mel: ?LogMel, warnings: ?(string[])}} Step delay: seconds by which steps follow the sound
 */

export class ServerEngine {
  /** Whether the microphone can be recognised while a file is. */
  parallel = true;

  teachNote = LOCAL
    ? "Everything stays on this computer: the examples in this browser, and the models on the server. Download those that you want to keep."
    : "The examples are kept in this browser. The server computes what it needs of them, and offers your models to all who use it. Download those that you want to keep.";

  /** base: the server's address. askKey, an async function, is called when the server requires a key. */
  constructor(base = ".") {
    this.base = base;
    this.key = sessionStorage.getItem("ainext-key") ?? "";
    this.askKey = async () => "";
    this.offers = []; // what the server does besides recognising, such as "history"; known with its models
  }

  /** What becomes of recordings, in a line; known with the models. */
  get note() {
    if (LOCAL) return "Recordings stay on this computer: the server runs here.";
    const hours = Math.round(this.limits.result_seconds / 3600);
    const results = this.offers.includes("results") ? ` Results are kept there for up to ${hours} ${hours === 1 ? "hour" : "hours"}.` : "";
    return `Recordings are sent to the server of this page, which deletes them when it has recognised them.${results}`;
  }

  /** [{name, labels, groups, sample_rate, mode, bytes, licence, parameters, default}] */
  async models() {
    const response = await this.#withKey((headers) => fetch(`${this.base}/v1/models`, { headers }));
    const body = await readJson(response);
    if (!response.ok) throw problem(response.status, body);
    this.limits = body.limits;
    this.offers = body.offers ?? [];
    this.known = new Map(body.models.map((one) => [one.name, one]));
    return body.models;
  }

  /** {label: name} of all models, in a language such as "de"; groups have names, too. */
  async names(language) {
    const { models } = await (await this.request(`/v1/models?language=${language}`)).json();
    const all = models.flatMap(({ names }) => Object.entries(names)).filter(([label, name]) => name !== label);
    return Object.fromEntries(all.reverse()); // the default model comes first, and counts
  }

  /**
   * The Response to another request, such as request("/v1/events/17", {method: "DELETE"}). json: the body.
   * Throws an Error that says what is wrong, with the `status` of the response if there was one.
   */
  async request(path, { json, ...options } = {}) {
    const body = json && JSON.stringify(json);
    const send = (headers) => fetch(`${this.base}${path}`, { ...options, headers, body });
    const response = await this.#withKey(send).catch(() => null);
    if (!response) throw new Error("The server cannot be reached.");
    if (!response.ok) throw Object.assign(problem(response.status, await readJson(response)), { status: response.status });
    return response;
  }

  /**
   * The Result of a file. onProgress: called with {phase: "sending", "waiting" or "recognising", share: 0…1, or null where it
   * is not known}. Throws an Error with `retryAfter`, in seconds, if the server is busy.
   */
  async predict(file, { model, signal, onProgress }) {
    // A browser that is still sending cannot read a refusal: the connection just ends.
    if (file.size > this.limits?.bytes) throw new Error(`${file.name}: larger than ${this.limits.bytes / 1e6} MB, this server's limit.`);
    const form = new FormData();
    form.append("file", file, file.name ?? "recording");
    const { labels } = this.known.get(model);
    const query = new URLSearchParams({ include: "log_mel,likely_steps", model, top_k: Math.min(labels.length, MAX_TOP_K) });
    if (this.offers.includes("results")) query.set("keep", "true");
    const { status, body, retryAfter } = await this.#withKey((headers) => post(`${this.base}/v1/predict?${query}`, form, headers, signal, onProgress));
    if (status !== 200) throw Object.assign(problem(status, body), { retryAfter });
    return this.#decoded(body);
  }

  /** The Result that the server has kept under an id. */
  async result(id) {
    const response = await this.request(`/v1/results/${encodeURIComponent(id)}`);
    return this.#decoded(await response.json());
  }

  #decoded(body) {
    const { sample_rate } = this.known.get(body.model) ?? body.log_mel;
    return { ...body, sample_rate, log_mel: decodeLogMel(body.log_mel), likely_steps: decodeLikelySteps(body.likely_steps) };
  }

  /** How much has been corrected: {recordings, segments, labels, wanted: how many more recordings make a training set}. */
  async corrections() {
    const response = await this.#withKey((headers) => fetch(`${this.base}/v1/corrections`, { headers }));
    const body = await readJson(response);
    if (!response.ok) throw problem(response.status, body);
    return body;
  }

  /** Saves a recording with its segments, [{start, end, label}], on the server; returns what `corrections` does. */
  async saveCorrections(file, segments, model) {
    const form = new FormData();
    form.append("segments", JSON.stringify(segments));
    form.append("model", model);
    form.append("file", file, file.name ?? "recording");
    const { status, body } = await this.#withKey((headers) => post(`${this.base}/v1/corrections`, form, headers));
    if (status >= 300 || !status) throw problem(status, body);
    return body;
  }

  /** What `teach` needs of an example: {features: [[number, …], …], duration}. Options: its name, model and signal. */
  async embed(file, { name, model, signal }) {
    const form = new FormData();
    form.append("file", file, name);
    const { status, body } = await this.#withKey((headers) => post(`${this.base}/v1/embed?${new URLSearchParams({ model })}`, form, headers, signal));
    if (status !== 200) throw problem(status, body);
    return body;
  }

  /**
   * Teaches a model sounds. lesson: {name: of the new model, from: whose features these are, examples: [{label, features,
   * source: what they were cut from}]}. Returns {model, clips, classes, top1: percent, per_class: the same by label,
   * confusions: how many of each label are taken for each, threshold, seconds}.
   */
  async teach({ name, from, examples }, { signal }) {
    const lists = examples.map((one) => ({ ...one, features: one.features.map((row) => Array.from(row)) }));
    const body = new Blob([JSON.stringify({ name, from, examples: lists })], { type: "application/json" });
    const found = await this.#withKey((headers) => post(`${this.base}/v1/teach`, body, headers, signal));
    if (found.status !== 200) throw problem(found.status, found.body);
    return found.body;
  }

  /** The file of a model that was taught, as a Blob. */
  async modelFile(name) {
    const response = await this.#model(name, "/file");
    return response.blob();
  }

  /** Deletes a model that was taught. */
  async forget(name) {
    await this.#model(name, "", "DELETE");
  }

  async #model(name, part, method = "GET") {
    const url = `${this.base}/v1/models/${encodeURIComponent(name)}${part}`;
    const response = await this.#withKey((headers) => fetch(url, { headers, method }));
    if (!response.ok) throw problem(response.status, await readJson(response));
    return response;
  }

  /**
   * Recognises samples as they arrive: {push(samples: Float32Array), stop()}. After `stop` the last steps follow.
   * onStep: called with each Step. onClose: called at the end, with null or with a line on what went wrong.
   */
  openStream({ model, rate, onStep, onClose }) {
    const url = new URL(`${this.base}/v1/listen`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ model, rate, encoding: "f32le", include: "log_mel,probabilities" });
    const socket = new WebSocket(url, this.key ? ["ainext", `key.${this.key}`] : ["ainext"]);
    socket.binaryType = "arraybuffer";
    const waiting = [];
    let detail = null;
    socket.onopen = () => waiting.splice(0).forEach((data) => socket.send(data));
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.status) detail = message.detail; // problem details (RFC 9457)
      else onStep({ ...message, log_mel: decodeLogMel(message.log_mel) });
    };
    socket.onclose = (event) => onClose(detail ?? (event.code === 1000 ? null : "The connection to the server was lost."));
    const send = (data) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(data);
      else if (socket.readyState === WebSocket.CONNECTING && waiting.length < 1000) waiting.push(data);
    };
    return { push: (samples) => send(samples.slice().buffer), stop: () => send('{"type": "end"}') };
  }

  async #withKey(request) {
    let response = await request(this.#headers());
    while (response.status === 401) {
      this.key = await this.askKey();
      if (!this.key) break;
      response = await request(this.#headers());
      if (response.status !== 401) sessionStorage.setItem("ainext-key", this.key);
    }
    return response;
  }

  #headers() {
    return this.key ? { "X-API-Key": this.key } : {};
  }
}

/** The error that a refused request stands for. body: problem details (RFC 9457), unless a proxy responded. */
function problem(status, body) {
  return new Error(body.detail ?? `The server responded with status ${status}.`);
}

async function readJson(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

/**
 * Sends a form, and reads the lines with which the server says how far it is, before the last one, which is the response.
 * Unlike fetch, XMLHttpRequest reports how much has been sent.
 */
function post(url, form, headers, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries({ ...headers, Accept: "application/x-ndjson" })) request.setRequestHeader(name, value);
    let read = 0; // characters of the response
    request.upload.onprogress = (event) => onProgress?.({ phase: "sending", share: event.lengthComputable ? event.loaded / event.total : null });
    request.upload.onload = () => onProgress?.({ phase: "waiting", share: null });
    request.onprogress = () => {
      if (request.status !== 200) return;
      const text = request.responseText;
      const end = text.lastIndexOf("\n", text.length - 1) + 1;
      for (const line of text.slice(read, end).split("\n")) if (line.startsWith('{"progress"')) onProgress?.(progressOf(JSON.parse(line)));
      read = Math.max(read, end);
    };
    request.onload = () => {
      const body = parse(request.responseText.trimEnd().split("\n").at(-1));
      const status = request.status === 200 ? (body.status ?? 200) : request.status;
      const wait = Number(request.getResponseHeader("Retry-After"));
      resolve({ status, body, retryAfter: status === 503 && wait ? wait : null });
    };
    request.onerror = () => reject(new Error("The server cannot be reached."));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

function progressOf({ progress: { state, seconds, duration } }) {
  if (state === "waiting") return { phase: "waiting", share: null };
  return { phase: "recognising", share: duration ? Math.min(1, seconds / duration) : null };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
