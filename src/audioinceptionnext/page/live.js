// The view of a live stream: a scrolling log-mel, the most probable labels, and the segments that have ended.
import { colourOf, HEAT } from "./colours.js";
import { openMicrophone } from "./microphone.js";
import { Recording } from "./recording.js";
import { quantile, stretchContrast } from "./spectrogram.js";
import { clock, make, percent, readable } from "./text.js";
import { scoreBar } from "./viewer.js";

const DRAW_MS = 50; // of waiting for further steps, which come several at a time and are drawn at once
const SECONDS = 12; // across the log-mel
const FADE = 1.25; // levels of 256 by which its contrast may grow in a second
const MAX_SEGMENTS = 8; // in the list; older ones are dropped
const MAX_NOW = 10; // labels in the list of those that sound now
const [MAX_OTHERS, MIN_SCORE] = [5, 0.05]; // those without a segment are among the first of them, and this probable

export class Live {
  /**
   * model: its name. labels: a Set of those to show. onEnd(result, wav, problem): called at the end, with a Result of all
   * labels and its WAV file, or with what went wrong.
   */
  constructor(engine, model, labels, onEnd) {
    Object.assign(this, { engine, model, labels, onEnd });
    this.undrawn = []; // steps
    this.canvas = make("canvas", { class: "log-mel", width: 1200, height: 64, "aria-hidden": "true" });
    this.time = make("span", { class: "time" }, clock(0));
    this.delay = make("span", { class: "time" });
    this.scores = make("div", {});
    this.warning = make("p", { class: "quiet", role: "status" });
    this.list = emptyList();
    const stored = engine.offers.includes("history")
      ? make("p", { class: "quiet caption" }, "This server stores what it recognises in its history, and may keep the sound of it.")
      : null;
    this.stopButton = make("button", { type: "button", class: "primary", onclick: () => this.stop() }, "Stop");
    this.element = make(
      "div",
      { class: "viewer" },
      make("div", { class: "transport" }, this.stopButton, make("span", { class: "dot", "aria-hidden": "true" }), this.time, this.delay),
      this.warning,
      stored,
      this.canvas,
      make(
        "div",
        { class: "beside" },
        make("section", { "aria-label": "Segments" }, make("h3", {}, "Segments"), this.list),
        make("section", { "aria-label": "Now" }, make("h3", {}, "Now"), this.scores),
      ),
    );
  }

  /** Opens the microphone. Throws an Error that says what to do. */
  async start() {
    const waiting = [];
    let push = (samples) => waiting.push(samples);
    const early = []; // warnings of what comes before the recording begins
    this.microphone = await openMicrophone(
      (samples) => {
        this.recording?.addSamples(samples);
        push(samples);
      },
      (line) => (this.recording ? this.#warn(line) : early.push(line)),
    );
    const { rate } = this.microphone;
    this.recording = new Recording(rate);
    early.forEach((line) => this.#warn(line));
    this.stream = this.engine.openStream({
      model: this.model,
      rate,
      onStep: (step) => this.#addStep(step),
      onClose: (problem) => this.#close(problem),
    });
    push = (samples) => this.stream.push(samples);
    waiting.splice(0).forEach((samples) => {
      this.recording.addSamples(samples);
      push(samples);
    });
  }

  /** Closes the microphone. The last steps follow, and then `onEnd` is called. */
  stop() {
    this.stopButton.disabled = true;
    this.microphone?.stop();
    this.stream?.stop();
  }

  #close(problem) {
    this.microphone?.stop();
    const result = this.recording.end > 0 ? this.recording.result(this.model) : null;
    this.onEnd(result, result && this.recording.wav(), problem);
  }

  #warn(line) {
    this.recording.warnings.push(line);
    this.warning.textContent = this.recording.warnings.map((one) => `Warning: ${one}.`).join(" ");
  }

  #addStep(step) {
    step.warnings?.forEach((line) => this.#warn(line));
    this.recording.addStep(step);
    this.undrawn.push(step);
    if (this.undrawn.length === 1) setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw() {
    const steps = this.undrawn.splice(0);
    if (!steps.length) return;
    this.step = steps.at(-1);
    const { end, delay } = this.step;
    this.time.textContent = clock(end);
    if (delay) this.delay.textContent = `${delay.toFixed(1)}\u00a0s behind the sound`;
    this.#showNow();
    this.#list(steps.flatMap(({ segments }) => segments));
    this.#scroll(steps.filter(({ log_mel }) => log_mel));
  }

  /** Shows these labels alone from now on, of past segments too. labels: a Set. */
  show(labels) {
    this.#draw();
    this.labels = labels;
    // In another list: screen readers would read out again what is added to this one.
    const before = this.list;
    this.list = emptyList();
    this.#list(this.recording?.segments ?? []);
    before.replaceWith(this.list);
    if (this.step) this.#showNow();
  }

  /** The labels of open segments, and others that are probable. */
  #showNow() {
    const open = new Set(this.step.open.map(({ label }) => label));
    const scores = Object.entries(this.step.probabilities).filter(([label]) => this.labels.has(label));
    const sorted = scores.map(([label, score]) => ({ label, score, now: open.has(label) }));
    sorted.sort((a, b) => b.now - a.now || b.score - a.score);
    const shown = sorted.slice(0, MAX_NOW).filter(({ now, score }, index) => now || (index < MAX_OTHERS && score >= MIN_SCORE));
    const bars = shown.map(({ label, score, now }) => {
      const bar = scoreBar(label, score, now ? colourOf(label, [...open]) : "var(--quiet)");
      bar.classList.toggle("now", now);
      return bar;
    });
    this.scores.replaceChildren(...(bars.length ? bars : [make("p", { class: "quiet" }, "None.")]));
  }

  #list(segments) {
    for (const one of segments.filter(({ label }) => this.labels.has(label)).slice(-MAX_SEGMENTS)) {
      const text = `${readable(one.label)} ${percent(one.score)}`;
      this.list.prepend(make("li", {}, make("b", {}, text), ` ${clock(one.start)} to ${clock(one.end)}`));
    }
    while (this.list.children.length > MAX_SEGMENTS) this.list.lastChild.remove();
  }

  /** Moves the log-mel to the left and draws that of consecutive steps. */
  #scroll(steps) {
    if (!steps.length) return;
    const { bands } = steps[0].log_mel;
    const levels = steps.flatMap(({ log_mel }) => [...log_mel.data]);
    const columns = levels.length / bands;
    const seconds = steps.at(-1).end - steps[0].start;
    // The contrast adapts to the room: at once when levels exceed the range, slowly when they stay within it.
    const [low, high] = [quantile(levels, 0.05), quantile(levels, 0.995)];
    this.low = Math.min(low, (this.low ?? low) + FADE * seconds);
    this.high = Math.max(high, (this.high ?? high) - FADE * seconds);
    const data = stretchContrast(levels, this.low, this.high);
    const context = this.canvas.getContext("2d");
    if (this.canvas.height !== bands) this.canvas.height = bands;
    const width = Math.max(1, Math.round((seconds / SECONDS) * this.canvas.width));
    context.drawImage(this.canvas, -width, 0);
    const image = new ImageData(width, bands);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = 0; x < width; x++) {
      const column = Math.min(columns - 1, Math.floor((x / width) * columns));
      for (let band = 0; band < bands; band++) pixels[(bands - 1 - band) * width + x] = HEAT[data[column * bands + band]];
    }
    context.putImageData(image, this.canvas.width - width, 0);
  }
}

function emptyList() {
  return make("ol", { class: "ended", "aria-live": "polite", "aria-label": "Segments that have ended" });
}
