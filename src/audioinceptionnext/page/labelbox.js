// A combobox for a label, as the ARIA Authoring Practices describe it: one of the model's, or one of the user's own.
import { markOption, nextOption } from "./options.js";
import { languageOf, make, readable, searchable } from "./text.js";

const MAX_OPTIONS = 100; // that are listed at once
let count = 0; // so that the ids of two boxes differ

export class LabelBox {
  /** labels: that are offered, those that people want most first. value: a label, or an empty text. */
  constructor(labels, value) {
    const id = `label-options-${++count}`;
    Object.assign(this, { labels, found: [], active: -1, id });
    this.byName = new Map(labels.flatMap((label) => [label, readable(label)].map((name) => [name.toLowerCase(), label])));
    this.taken = value;
    this.list = make("ul", { id, role: "listbox", "aria-label": "Labels", hidden: true });
    this.list.onmousedown = (event) => event.preventDefault(); // the box keeps the focus
    this.input = make("input", {
      id: `${id}-box`,
      type: "text",
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": id,
      autocomplete: "off",
      spellcheck: "false",
      maxlength: "200",
      oninput: () => this.#search(this.input.value),
      onclick: () => this.list.hidden && this.#search(""),
      onblur: () => this.#leave(),
      onkeydown: (event) => this.#onKey(event),
    });
    this.input.value = readable(value);
    this.element = make("div", { class: "combobox" }, this.input, this.list);
  }

  /** The label: the model's, if the text is one of its names, or else the text. */
  get value() {
    const text = this.input.value.trim().replaceAll(/\s+/g, " ");
    return text === readable(this.taken) ? this.taken : (this.byName.get(text.toLowerCase()) ?? text);
  }

  /** Lists what has all words of a text: what begins with it first, and the text itself last, unless it is a label. */
  #search(text) {
    const query = text.trim().replaceAll(/\s+/g, " ");
    const lower = query.toLowerCase();
    const words = lower.split(/[\s,]+/);
    const named = this.labels.map((label) => ({ label, name: searchable(label) }));
    const rank = ({ label, name }) => (this.byName.get(lower) === label ? 0 : name.startsWith(lower) ? 1 : name.includes(` ${lower}`) ? 2 : 3);
    const matching = named.filter(({ name }) => words.every((word) => name.includes(word)));
    if (query) matching.sort((a, b) => rank(a) - rank(b));
    this.found = matching.slice(0, MAX_OPTIONS).map(({ label }) => label);
    const own = query && !this.byName.has(lower);
    const options = this.found.map((label, index) => this.#option(label, index, make("span", { lang: languageOf(label) }, readable(label))));
    if (own) options.push(this.#option(query, this.found.push(query) - 1, `“${query}”`, make("span", { class: "quiet" }, " a label of your own")));
    this.list.replaceChildren(...options);
    this.#expand(options.length > 0);
    this.#activate(query && options.length ? 0 : -1);
  }

  #option(label, index, ...content) {
    const selected = String(label === this.taken);
    return make("li", { id: `${this.id}-${index}`, role: "option", "aria-selected": selected, onclick: () => this.#take(label) }, ...content);
  }

  #take(label) {
    this.taken = label;
    this.input.value = readable(label);
    this.#expand(false);
  }

  #leave() {
    if (!this.list.hidden && this.active >= 0) this.#take(this.found[this.active]);
    this.#expand(false);
  }

  #expand(open) {
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (!open) this.#activate(-1);
  }

  /** Marks the option that Enter takes; -1 stands for none. */
  #activate(index) {
    this.active = markOption(this.input, this.list, this.active, index);
  }

  #onKey(event) {
    const open = !this.list.hidden;
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") {
      if (!open) this.#search("");
      const { length } = this.found;
      if (length) this.#activate(nextOption(key, this.active, length));
    } else if (key === "Enter" && open && this.active >= 0) this.#take(this.found[this.active]);
    else if (key === "Escape" && open) this.#expand(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
