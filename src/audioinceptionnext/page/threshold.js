// The slider that finds the segments of a Result at another onset threshold, without another prediction.
import { segmentsAt } from "./likely_steps.js";
import { make } from "./text.js";

export class Threshold {
  /** steps: LikelySteps of a Result (see likely_steps.js). onChange(segments): at the chosen threshold, null: at the model's own. */
  constructor(steps, onChange) {
    Object.assign(this, { steps, onChange });
    const lowest = Math.ceil(100 * steps.lowest - 1e-9) / 100;
    this.slider = make("input", { type: "range", id: "threshold", min: lowest, max: 0.99, step: 0.01, value: 0.5, oninput: () => this.#set(this.slider.value) });
    this.output = make("output", { for: "threshold" });
    this.own = make("button", { type: "button", class: "plain", onclick: () => this.#reset() }, "The model’s own");
    const title = "The probability that a segment has to reach at least once. The command line gives the same segments with this threshold.";
    this.element = make("div", { class: "threshold", title }, make("label", { for: "threshold" }, "Onset threshold"), this.slider, this.output, this.own);
    this.#describe();
  }

  #set(value) {
    this.value = Number(value);
    this.#describe();
    // Of several moves between two pictures, the last one counts.
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.onChange(this.value == null ? null : segmentsAt(this.steps, this.value));
    });
  }

  #reset() {
    this.slider.value = 0.5;
    this.value = null;
    this.#describe();
    this.slider.focus(); // the button is gone
    this.onChange(null);
  }

  #describe() {
    const own = this.value == null;
    this.output.textContent = own ? "the model’s own" : this.value.toFixed(2);
    this.slider.setAttribute("aria-valuetext", this.output.textContent);
    this.own.hidden = own;
  }
}
