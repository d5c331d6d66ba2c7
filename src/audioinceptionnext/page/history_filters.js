// What of a history is shown: labels, one input, and events with a high score. The page's address keeps it.
import { Choice } from "./choice.js";
import { Chooser } from "./chooser.js";
import { make, percent } from "./text.js";

export class Filters {
  /** query: URLSearchParams of the address. onChange(done): called on every change, with false while a slider moves. */
  constructor(query, onChange) {
    this.onChange = onChange;
    this.choice = new Choice(query);
    this.source = query.get("source") ?? "";
    this.minScore = Math.min(1, Math.max(0, Number(query.get("min_score")) || 0));
    this.inputs = make("select", { id: "source", onchange: () => this.#set({ source: this.inputs.value }) });
    this.inputField = make("label", { class: "model", for: "source" }, "Input ", this.inputs);
    this.slider = make("input", {
      type: "range",
      id: "min-score",
      value: Math.round(100 * this.minScore),
      oninput: () => this.#set({ minScore: this.slider.value / 100 }, false),
      onchange: () => this.#set({ minScore: this.slider.value / 100 }),
    });
    this.output = make("output", { for: "min-score" }, percent(this.minScore));
    const score = make("label", { class: "min-score", for: "min-score" }, "Score at least ", this.slider, this.output);
    this.sounds = make("div", { id: "sounds" });
    this.element = make("div", { class: "filters" }, this.sounds, make("div", { class: "more-filters" }, this.inputField, score));
  }

  #set(values, done = true) {
    Object.assign(this, values);
    this.output.textContent = percent(this.minScore);
    this.slider.setAttribute("aria-valuetext", this.output.textContent);
    this.onChange(done);
  }

  /** Offers what there is to choose from. groups: of labels, by name. events: of the day. */
  offer(labels, groups, sources, events) {
    const all = [...labels].sort((a, b) => a.localeCompare(b, "en"));
    if (all.join("\n") !== this.choice.all?.join("\n")) {
      const known = new Set(all);
      const some = Object.entries(groups).map(([name, members]) => [name, members.filter((label) => known.has(label))]);
      this.choice.setModel({ labels: all, groups: Object.fromEntries(some.filter(([, members]) => members.length)) });
      this.#makeChooser();
    }
    this.events = events;
    this.chooser.setSegments(events);
    const options = [["", "all"], ...[...new Set([...sources, ...(this.source ? [this.source] : [])])].map((name) => [name, name])];
    this.inputs.replaceChildren(...options.map(([value, text]) => make("option", { value, selected: value === this.source }, text)));
    this.inputField.hidden = options.length < 3;
  }

  #makeChooser() {
    const open = this.sounds.querySelector("details")?.open;
    this.chooser = new Chooser(this.choice, () => this.onChange(true), "the history");
    this.sounds.replaceChildren(this.chooser.element);
    if (open !== undefined) this.sounds.querySelector("details").open = open;
  }

  /** Names the sounds anew. */
  rename() {
    this.#makeChooser();
    this.chooser.setSegments(this.events);
  }

  /** Shows everything again. */
  clear() {
    this.choice.clear();
    this.rename();
    this.inputs.value = "";
    this.slider.value = 0;
    this.#set({ source: "", minScore: 0 });
  }

  /** Whether an event is shown. */
  get fits() {
    const { labels } = this.choice;
    return ({ label, source, score }) => labels.has(label) && (!this.source || source === this.source) && (score == null || score >= this.minScore);
  }

  /** What the server is asked for besides the labels. */
  get parameters() {
    return { ...(this.source && { source: this.source }), ...(this.minScore && { min_score: this.minScore }) };
  }

  /** All of it, as the address has it: URLSearchParams. */
  get query() {
    const query = new URLSearchParams(this.choice.query);
    for (const [name, value] of Object.entries(this.parameters)) query.set(name, value);
    return query;
  }
}
