// The form in which a segment's start, end and label are written.
import { MIN_SECONDS } from "./corrections.js";
import { LabelBox } from "./labelbox.js";
import { clock, countSegments, make, readable, secondsOf } from "./text.js";

/** Seconds by which a key moves a bound. */
export const NUDGE = 0.05;

export class SegmentForm {
  /**
   * values: {start, end, label}; an empty label stands for a segment that is to be added. labels: that are offered.
   * playhead(): its time. alike: how many others have its label. onTimes({start, end}): called as they change. onSave(values,
   * all), onCancel(), onDelete(all): called by the buttons, with whether the others are meant, too; without onDelete there is
   * no such button.
   */
  constructor({ values, labels, duration, playhead, alike, onTimes, onSave, onCancel, onDelete }) {
    Object.assign(this, { duration, playhead, onTimes, onSave });
    this.label = new LabelBox(labels, values.label);
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    this.start = this.#time("start");
    this.end = this.#time("end");
    this.setTimes(values);
    this.all = make("input", { type: "checkbox" });
    const others = `Rename or delete all ${countSegments(alike + 1)} of ${readable(values.label)}`;
    const field = (name, input, ...elements) => make("div", { class: "field" }, make("label", { for: input.id }, name), ...elements);
    const button = (text, onclick) => make("button", { type: "button", onclick }, text);
    this.element = make(
      "form",
      { class: "segment-form", novalidate: true, "aria-label": values.label ? "Edit the segment" : "Add a segment", onkeydown: (event) => event.key === "Escape" && onCancel() },
      field("Start", this.start, this.start, this.#fromPlayhead(this.start, "start")),
      field("End", this.end, this.end, this.#fromPlayhead(this.end, "end")),
      field("Sound", this.label.input, this.label.element),
      make(
        "div",
        { class: "form-actions" },
        make("button", { class: "primary" }, values.label ? "Save" : "Add"),
        button("Cancel", onCancel),
        onDelete ? button("Delete", () => onDelete(this.all.checked)) : null,
      ),
      alike ? make("label", { class: "alike" }, this.all, others) : null,
      this.problem,
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** Shows other times, such as those of a drag. */
  setTimes({ start, end }) {
    this.shown = { start, end };
    this.start.value = clock(start, 2);
    this.end.value = clock(end, 2);
    this.written = { start: this.start.value, end: this.end.value };
  }

  focus() {
    this.label.input.focus();
    this.label.input.select();
  }

  #time(name) {
    const input = make("input", {
      id: `segment-${name}`,
      type: "text",
      inputmode: "decimal",
      autocomplete: "off",
      title: "Seconds, or minutes and seconds: 65.2 or 1:05.2. The keys ↑ and ↓ move it by 0.05 s.",
      oninput: () => this.#tell(),
      onkeydown: (event) => {
        const step = { ArrowUp: NUDGE, ArrowDown: -NUDGE }[event.key];
        const seconds = this.#seconds(name);
        if (!step || Number.isNaN(seconds)) return;
        event.preventDefault();
        input.value = clock(Math.min(this.duration, Math.max(0, seconds + step)), 2);
        this.#tell();
      },
    });
    return input;
  }

  #fromPlayhead(input, name) {
    const onclick = () => {
      input.value = clock(this.playhead(), 2);
      this.#tell();
    };
    const title = `Set the ${name} to the playhead`;
    return make("button", { type: "button", class: "small at-playhead", title, "aria-label": title, onclick });
  }

  /** The time that is written; what has not been touched is not rounded. */
  #seconds(name) {
    return this[name].value === this.written[name] ? this.shown[name] : secondsOf(this[name].value);
  }

  #tell() {
    const [start, end] = [this.#seconds("start"), this.#seconds("end")];
    if (end > start) this.onTimes({ start, end });
  }

  #submit() {
    const values = { start: this.#seconds("start"), end: this.#seconds("end"), label: this.label.value };
    const isTime = (name) => !Number.isNaN(values[name]);
    const wrong = ["start", "end"].find((name) => !isTime(name));
    if (wrong) this.#refuse(this[wrong], `The ${wrong} is no time: write seconds, or minutes and seconds, such as 65.2 or 1:05.2.`);
    else if (values.end > this.duration + 0.01) this.#refuse(this.end, `The recording ends at ${clock(this.duration, 2)}.`);
    else if (values.end - values.start < MIN_SECONDS - 1e-9) this.#refuse(this.end, `The end must be at least ${MIN_SECONDS} s after the start.`);
    else if (!values.label) this.#refuse(this.label.input, "Choose a label, or write one of your own.");
    else this.onSave(values, this.all.checked);
  }

  #refuse(input, text) {
    for (const one of [this.start, this.end, this.label.input]) one.removeAttribute("aria-invalid");
    input.setAttribute("aria-invalid", "true");
    this.problem.textContent = text;
    this.problem.hidden = false;
    input.focus();
  }
}
