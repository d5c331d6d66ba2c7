// The result of one recording: its title, the controls that stay in reach, and the viewer.
import { only } from "./choice.js";
import { corrected, correctionsOf } from "./corrections.js";
import { Editor } from "./editor.js";
import { FORMATS, save } from "./formats.js";
import { Threshold } from "./threshold.js";
import { make } from "./text.js";
import { TrainingSet } from "./trainingset.js";
import { Viewer } from "./viewer.js";

export class ResultView {
  /**
   * entry: with a result; see queue.js. labels: a Set of those to show. models: of the engine. onThreshold(): called when the
   * threshold has changed what is shown. onEdit(): called after an edit, which may give segments labels of their own, before
   * they are shown. again(entry): recognises the recording again with the model that is selected.
   */
  constructor(entry, labels, engine, models, { onThreshold, onEdit, again }) {
    Object.assign(this, { entry, labels, engine, onThreshold, onEdit, again, result: entry.result });
    this.corrections = correctionsOf(this.result);
    this.found = null; // the segments at the chosen onset threshold; null at the model's own
    this.viewer = new Viewer(this.result, entry.url, entry.isVideo);
    this.title = make("h2", { tabindex: "-1" }, this.result.file);
    this.hint = make("p", { class: "hint quiet", hidden: true });
    const by = make("p", { class: "quiet" }, `recognised by ${this.result.model}`);
    const toolbar = make("div", { class: "toolbar", role: "group", "aria-label": "Segments" }, this.#threshold(), this.#downloads());
    this.element = make("div", { class: "shown-result" }, make("div", { class: "title" }, this.title, by), this.hint, ...this.#notes(), toolbar, this.viewer.element);
    stack(this.element, [toolbar, this.viewer.transport]);
    this.editor = this.#editor(models.find(({ name }) => name === this.result.model));
    this.viewer.show(this.shown); // without a choice too: of all labels' scores it has the best
  }

  /** The Result at the chosen threshold, with corrections and all labels. */
  get all() {
    return corrected(this.result, this.found ?? this.result.segments);
  }

  get segments() {
    return this.all.segments;
  }

  /** The Result as it is shown and saved. */
  get shown() {
    return only(this.all, this.labels);
  }

  /** Shows these labels alone. labels: a Set. */
  show(labels) {
    this.labels = labels;
    this.viewer.show(this.shown);
  }

  /** Offers to recognise the recording again if another model is selected, or if something of the result is not there. */
  compareModel(selected) {
    const { model, incomplete } = this.result;
    const other = selected !== model;
    this.hint.hidden = !other && !incomplete;
    const text = other ? `This result is by ${model}.` : "Its onset threshold can be changed when the recording has been recognised again.";
    const button = make("button", { type: "button", onclick: () => this.again(this.entry) }, `Recognise again${other ? ` with ${selected}` : ""}`);
    this.hint.replaceChildren(text, this.entry.file ? button : `Drop the recording to recognise it with ${selected}.`);
  }

  close() {
    this.viewer.close();
  }

  /** model: undefined if it is not there any more. */
  #editor(model) {
    const onSaved = () => this.corrections.markSaved();
    const training = this.entry.file && new TrainingSet(this.engine, this.entry.file, () => this.shown, onSaved);
    const onEdit = (heir) => {
      this.onEdit();
      this.viewer.show(this.shown, heir);
    };
    const labels = model?.labels ?? this.result.clip.map(({ label }) => label);
    return new Editor(this.viewer, { labels, onEdit, extras: training ? [training.element] : [] });
  }

  #threshold() {
    const { likely_steps: steps } = this.result;
    if (!steps) return null;
    const apply = (segments) => {
      this.found = segments;
      this.viewer.show(this.shown);
      this.onThreshold();
    };
    return new Threshold(steps, apply).element;
  }

  #downloads() {
    const stem = this.result.file.replace(/\.[^.]*$/, "");
    const saveAs = ({ suffix, type, text }) => {
      save(text(this.shown), stem + suffix, type);
      this.corrections.markSaved();
    };
    const button = (format) => make("button", { type: "button", title: format.hint, onclick: () => saveAs(format) }, format.title);
    const buttons = Object.values(FORMATS).map(button);
    return make("div", { class: "downloads", role: "group", "aria-label": "Save as" }, make("span", { "aria-hidden": "true" }, "Save as"), ...buttons);
  }

  /** Lines on what the result lacks. */
  #notes() {
    const lines = (this.result.warnings ?? []).map((line) => make("p", { class: "warning" }, `Warning: ${line}.`));
    if (!this.entry.file) lines.push(make("p", { class: "quiet" }, "The server keeps this result, and not the recording, which therefore cannot be played."));
    if (!this.result.log_mel) lines.push(make("p", { class: "quiet" }, "Its picture is no longer in memory."));
    return lines;
  }
}

/** Lets style sheets know how much of the window's top these elements take, one below the other, when they stick to it. */
function stack(element, parts) {
  const observer = new ResizeObserver(() => {
    let top = 0;
    for (const [index, part] of parts.entries()) {
      top += part.offsetHeight;
      element.style.setProperty(`--below-${index}`, `${top}px`);
    }
  });
  parts.forEach((part) => observer.observe(part));
}
