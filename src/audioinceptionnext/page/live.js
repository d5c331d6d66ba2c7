// Listening: a log-mel that scrolls, the five likeliest sounds, segments as they end.
import { colourAt, HEAT } from "./colours.js";
import { openMicrophone } from "./microphone.js";
import { Recording } from "./recording.js";
import { quantile, stretched } from "./spectrogram.js";
import { bar } from "./viewer.js";
import { clock, make, percent, readable } from "./words.js";

const SECONDS = 12; // that the picture shows
const LISTED = 8; // of the last segments

export class Live {
  /** over(heard, wav, message): called when it has stopped, with what was heard, or with what went wrong. */
  constructor(engine, model, over) {
    Object.assign(this, { engine, model, over });
    this.canvas = make("canvas", { class: "log-mel", width: 1200, height: 64, "aria-hidden": "true" });
    this.time = make("span", { class: "time" }, clock(0));
    this.bars = make("div", { class: "bars-live" });
    this.list = make("ol", { class: "chips", "aria-live": "polite", "aria-label": "Sounds that ended" });
    this.stopButton = make("button", { type: "button", class: "primary", onclick: () => this.stop() }, "Stop");
    this.element = make(
      "div",
      { class: "viewer" },
      make("div", { class: "transport" }, this.stopButton, make("span", { class: "dot", "aria-hidden": "true" }), this.time),
      this.canvas,
      make("div", { class: "beside" }, make("section", { "aria-label": "Sounds that ended" }, make("h3", {}, "Heard"), this.list),
        make("section", { "aria-label": "Now" }, make("h3", {}, "Now"), this.bars)),
    );
  }

  /** Opens the microphone. Throws an Error that says what to do. */
  async start() {
    const waiting = [];
    let push = (samples) => waiting.push(samples);
    this.microphone = await openMicrophone((samples) => {
      this.recording?.add(samples);
      push(samples);
    });
    const { rate } = this.microphone;
    this.recording = new Recording(rate);
    this.stream = this.engine.listen({
      model: this.model,
      rate,
      answer: (answer) => this.#answer(answer),
      closed: (message) => this.#closed(message),
    });
    push = (samples) => this.stream.push(samples);
    waiting.splice(0).forEach((samples) => {
      this.recording.add(samples);
      push(samples);
    });
  }

  /** Ends the sound; what is still to be heard comes, then `over` is called. */
  stop() {
    this.stopButton.disabled = true;
    this.microphone?.stop();
    this.stream?.stop();
  }

  #closed(message) {
    this.microphone?.stop();
    const heard = this.recording.end > 0 ? this.recording.heard(this.model) : null;
    this.over(heard, heard && this.recording.wav(), message);
  }

  #answer(answer) {
    this.recording.hear(answer);
    this.time.textContent = clock(answer.end);
    this.bars.replaceChildren(...answer.top.map((one, place) => bar(one.label, one.score, colourAt(place))));
    for (const one of answer.segments) {
      const text = `${readable(one.label)} ${percent(one.score)}`;
      this.list.prepend(make("li", {}, make("b", {}, text), ` ${clock(one.start)} to ${clock(one.end)}`));
    }
    while (this.list.children.length > LISTED) this.list.lastChild.remove();
    if (answer.log_mel) this.#scroll(answer.log_mel, answer.end - answer.start);
  }

  /** Moves the picture to the left by as much as the answer spans. */
  #scroll(log_mel, seconds) {
    const { columns, bands } = log_mel;
    // The span of levels follows the room: at once outwards, slowly back.
    const [low, high] = [quantile(log_mel.data, 0.05), quantile(log_mel.data, 0.995)];
    this.low = Math.min(low, (this.low ?? low) + 0.5);
    this.high = Math.max(high, (this.high ?? high) - 0.5);
    const data = stretched(log_mel.data, this.low, this.high);
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
