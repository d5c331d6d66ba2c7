// The search box with which people choose sounds among hundreds: a combobox as the ARIA Authoring Practices describe it.
import { markOption, nextOption } from "./options.js";
import { countSegments, languageOf, make, number, readable, searchable } from "./text.js";

const MAX_CLOSED = 30; // labels; of a model with more, the search box is open at first
const MAX_UNKNOWN = 5; // names that the model does not know and that are shown
const WAYS = { labels: "Show only", ignore: "Leave out" };

export class Chooser {
  /** choice: a Choice with its model. onChange(): called when the choice has changed. place: what has the sounds, in words. */
  constructor(choice, onChange, place = "this model") {
    Object.assign(this, { choice, onChange, place, active: -1, found: [] });
    this.count = make("span", { class: "quiet" });
    this.way = make("select", { "aria-label": "What to do with the sounds that are chosen" });
    this.way.append(...Object.entries(WAYS).map(([value, text]) => make("option", { value }, text)));
    this.way.onchange = () => this.#close();
    this.list = make("ul", { id: "offers", role: "listbox", "aria-label": "Sounds and groups", "aria-multiselectable": "true", tabindex: "-1", hidden: true });
    this.input = make("input", {
      type: "search",
      role: "combobox",
      placeholder: "Search for sounds …",
      "aria-label": "Search for sounds",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": "offers",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#search(),
      onclick: () => this.list.hidden && this.#search(),
      onblur: () => this.#close(),
      onkeydown: (event) => this.#onKey(event),
    });
    this.none = make("p", { class: "quiet", role: "status" });
    this.chips = make("ul", { class: "chips", "aria-label": "Chosen sounds" });
    this.list.onmousedown = (event) => event.preventDefault(); // the search box keeps the focus
    const box = make("div", { class: "combobox" }, this.input, this.list);
    this.unknown = make("p", { class: "quiet unknown" });
    const details = make("details", {}, make("summary", {}, "Sounds: ", this.count), make("div", { class: "search" }, this.way, box), this.none, this.chips);
    this.element = make("div", {}, details, this.unknown);
    this.setSegments([]);
    this.#update();
    details.open = choice.all.length > MAX_CLOSED || this.chips.childElementCount > 0;
  }

  /** segments: of the recording that is shown, with all labels. */
  setSegments(segments) {
    this.occurring = new Map();
    for (const { label } of segments) this.occurring.set(label, (this.occurring.get(label) ?? 0) + 1);
  }

  #update() {
    this.#close();
    const { choice } = this;
    const [shown, all] = [choice.labels.size, choice.all.length];
    this.count.textContent = shown === all ? `all ${number(all)}` : `${number(shown)} of ${number(all)}`;
    const chips = Object.keys(WAYS).flatMap((list) => choice.chosen(list).map((offer) => this.#chip(list, offer)));
    if (chips.length > 1) chips.push(make("li", {}, make("button", { type: "button", class: "chip", onclick: () => this.#clear() }, "Show all sounds")));
    this.chips.replaceChildren(...chips);
    this.chips.hidden = !chips.length;
    const { unknown } = choice;
    this.unknown.textContent = unknown.length ? inWords(unknown, this.place) : "";
    this.unknown.hidden = !unknown.length;
  }

  #chip(list, offer) {
    const text = `${list === "ignore" ? "without " : ""}${nameOf(offer)}`;
    const onclick = () => {
      const place = [...this.chips.children].indexOf(item);
      this.#toggle(list, offer);
      (this.chips.children[place]?.firstChild ?? this.input).focus();
    };
    const item = make("li", {}, make("button", { type: "button", class: `chip ${list}`, "aria-label": `Remove ${text}`, onclick }, text, make("span", { "aria-hidden": "true" }, " ×")));
    return item;
  }

  #clear() {
    this.choice.clear();
    this.#update();
    this.onChange();
    this.input.focus();
  }

  #toggle(list, offer) {
    this.choice.toggle(list, offer);
    this.#update();
    this.onChange();
  }

  /**
   * Lists what matches the search: groups and labels with all of its words, those that begin with it first. Without a
   * search, what occurs most often comes first.
   */
  #search() {
    const query = this.input.value.trim().toLowerCase();
    const words = query.split(/[\s,]+/);
    const rank = (title) => (title.startsWith(query) ? 0 : title.includes(` ${query}`) ? 1 : 2);
    const found = this.choice.offers.map((offer) => ({ offer, title: searchable(offer.title) }));
    const matching = found.filter(({ title }) => words.every((word) => title.includes(word)));
    const order = query ? (a, b) => rank(a.title) - rank(b.title) : (a, b) => this.#segments(b.offer) - this.#segments(a.offer);
    const pattern = matching.length ? undefined : this.choice.find(query);
    this.found = pattern ? [pattern] : matching.sort(order).map(({ offer }) => offer);
    this.list.replaceChildren(...this.found.map((offer, index) => this.#option(offer, index)));
    this.none.textContent = this.found.length ? "" : `No sound matches “${this.input.value.trim()}”.`;
    this.#expand(this.found.length > 0);
    this.#activate(query && this.found.length ? 0 : -1);
  }

  #option(offer, index) {
    const list = this.way.value;
    const chosen = this.choice.has(list, offer);
    const segments = this.#segments(offer);
    const details = offer.name === offer.title ? [] : [`group of ${number(offer.labels.length)}`];
    if (segments) details.push(countSegments(segments));
    const attributes = { id: `offer-${index}`, role: "option", "aria-selected": String(chosen), onclick: () => this.#take(offer) };
    const name = make("span", { lang: languageOf(offer.title) }, readable(offer.title));
    return make("li", attributes, name, make("span", { class: "quiet" }, ` ${details.join(", ")}`));
  }

  /** How many segments of a label or a group the recording has. */
  #segments({ labels }) {
    return labels.reduce((sum, label) => sum + (this.occurring.get(label) ?? 0), 0);
  }

  #take(offer) {
    this.input.value = "";
    this.#toggle(this.way.value, offer);
  }

  #expand(open) {
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
  }

  #close() {
    this.#expand(false);
    this.#activate(-1);
    this.none.textContent = "";
  }

  /** Marks the option that Enter takes; -1 stands for none. */
  #activate(index) {
    this.active = markOption(this.input, this.list, this.active, index);
  }

  #onKey(event) {
    const { key } = event;
    const open = !this.list.hidden;
    if (key === "ArrowDown" || key === "ArrowUp") {
      if (!open) this.#search();
      const count = this.found.length;
      if (count) this.#activate(nextOption(key, this.active, count));
    } else if (key === "Enter" && open && this.active >= 0) this.#take(this.found[this.active]);
    else if (key === "Escape" && open) this.#close();
    else if (key === "Escape" && this.input.value) this.input.value = ""; // without searching again, as browsers would
    else if (key === "Backspace" && !this.input.value) this.#removeLast();
    else return;
    event.preventDefault();
  }

  #removeLast() {
    const list = ["ignore", "labels"].find((one) => this.choice.chosen(one).length);
    if (list) this.#toggle(list, this.choice.chosen(list).at(-1));
  }
}

/** "Animal (group)" for a group. */
function nameOf({ name, title }) {
  return name === title ? readable(title) : `${readable(title)} (group)`;
}

/** Which names, of the page's address or chosen of another model, the model does not know. */
function inWords(unknown, place) {
  const more = unknown.length - MAX_UNKNOWN;
  const shown = unknown.slice(0, MAX_UNKNOWN).map((name) => name.slice(0, 100));
  return `Not in ${place}: ${shown.join(", ")}${more > 0 ? ` and ${number(more)} more` : ""}.`;
}
