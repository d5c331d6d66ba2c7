// The engine of the page: a server's HTTP interface. Another engine with the same methods runs the model in the browser.

import { unpacked } from "./spectrogram.js";

export class ServerEngine {
  note = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)
    ? "The sound stays on this computer: the server runs here."
    : "The sound goes to the server that gave you this page and is deleted there once it is heard.";

  /** base: where the server is. key: asked for by `askKey`, an async function, when the server wants one. */
  constructor(base = ".") {
    this.base = base;
    this.key = sessionStorage.getItem("ainext-key") ?? "";
    this.askKey = async () => "";
  }

  /** [{name, labels, sample_rate, bytes, licence, parameters, default}] */
  async models() {
    const response = await this.#withKey((headers) => fetch(`${this.base}/v1/models`, { headers }));
    const body = await read(response);
    if (!response.ok) throw new Error(body.error ?? response.statusText);
    this.limits = body.limits;
    return body.models;
  }

  /** What is heard in a file. progress: called with 0…1 while it is sent, then with null. */
  async predict(file, { model, signal, progress }) {
    // A server that refuses while a browser sends cannot say why: the connection just ends.
    if (file.size > this.limits?.bytes) throw new Error(`${file.name}: larger than ${this.limits.bytes / 1e6} MB, the most that this server takes.`);
    const form = new FormData();
    form.append("file", file, file.name ?? "recording");
    const query = new URLSearchParams({ include: "log_mel", model });
    const response = await this.#withKey((headers) => post(`${this.base}/v1/predict?${query}`, form, headers, signal, progress));
    if (response.status !== 200) throw new Error(response.body.error ?? `the server answered ${response.status}`);
    const heard = response.body;
    heard.log_mel = unpacked(heard.log_mel);
    return heard;
  }

  /** Sound as it comes: push(samples), stop(). answer: called with each; closed: with null, or with what went wrong. */
  listen({ model, rate, answer, closed }) {
    const url = new URL(`${this.base}/v1/listen`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ model, rate, encoding: "f32le", include: "log_mel" });
    const socket = new WebSocket(url, this.key ? ["ainext", `key.${this.key}`] : ["ainext"]);
    socket.binaryType = "arraybuffer";
    const waiting = [];
    let problem = null;
    let over = false;
    const end = (message) => {
      if (!over) closed(message);
      over = true;
    };
    socket.onopen = () => waiting.splice(0).forEach((data) => socket.send(data));
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.error) problem = message.error;
      else answer({ ...message, log_mel: unpacked(message.log_mel) });
    };
    socket.onclose = (event) => end(problem ?? (event.code === 1000 ? null : "The connection to the server was lost."));
    const send = (data) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(data);
      else if (socket.readyState === WebSocket.CONNECTING && waiting.length < 1000) waiting.push(data);
    };
    return { push: (samples) => send(samples.slice().buffer), stop: () => send('{"type": "end"}') };
  }

  async #withKey(ask) {
    let response = await ask(this.#headers());
    while (response.status === 401) {
      this.key = await this.askKey();
      if (!this.key) break;
      response = await ask(this.#headers());
      if (response.status !== 401) sessionStorage.setItem("ainext-key", this.key);
    }
    return response;
  }

  #headers() {
    return this.key ? { "X-API-Key": this.key } : {};
  }
}

async function read(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

/** fetch does not tell how much was sent; XMLHttpRequest does. */
function post(url, form, headers, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress?.(event.lengthComputable ? event.loaded / event.total : null);
    request.upload.onload = () => progress?.(null);
    request.onload = () => resolve({ status: request.status, body: request.response ?? {} });
    request.onerror = () => reject(new Error("The server cannot be reached."));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
