// The table of a recording's segments: what keyboards and screen readers use.
import { clock, countSegments, languageOf, make, number, readable, scoreOf } from "./text.js";

const MAX_ROWS = 200; // until all are requested

export class SegmentTable {
  /** play(segment): called by the buttons of the rows. */
  constructor(play) {
    this.play = play;
    this.segments = [];
    this.rows = new Map(); // by segment; a row is made once
    this.limit = MAX_ROWS;
    this.editing = null;
    this.heading = make("h3");
    this.head = make("tr");
    this.body = make("tbody");
    this.table = make("table", {}, make("thead", {}, this.head), this.body);
    this.all = make("button", { type: "button", onclick: () => this.#showAll() });
    this.none = make("p");
    this.element = make("section", { "aria-label": "Segments" }, this.heading, this.table, this.all, this.none);
    this.table.addEventListener("keydown", (event) => this.#onKey(event));
    // The keyboard chooses by the focus, and pointers by a click: what a choice changes must not move below a pressed button.
    this.table.addEventListener("focusin", ({ target }) => target.matches(":focus-visible") && this.#choose(target));
    this.table.addEventListener("click", ({ target }) => this.#choose(target), true);
  }

  /** none: a sentence for an empty list. heir: the segment that gets the keyboard's focus if the focused one is gone. */
  show(segments, none, heir = null) {
    const { activeElement } = document;
    const focused = this.body.contains(activeElement) ? activeElement.closest("tr") : null;
    const place = focused ? [...this.body.children].indexOf(focused) : -1;
    const kind = activeElement?.className;
    this.segments = segments;
    this.none.textContent = none;
    this.none.hidden = segments.length > 0;
    this.heading.hidden = this.table.hidden = !segments.length;
    this.heading.textContent = countSegments(segments.length);
    this.all.textContent = `Show all ${number(segments.length)}`;
    const before = this.rows;
    this.rows = new Map(segments.slice(0, this.limit).map((one) => [one, before.get(one) ?? this.#row(one)]));
    this.#arrange([...this.rows.values()]);
    this.all.hidden = segments.length <= this.limit;
    if (!focused || focused.segment === undefined) return;
    const row = this.rows.get(focused.segment) ?? this.rows.get(heir) ?? this.body.children[Math.min(place, this.body.children.length - 1)];
    [...(row?.querySelectorAll("button") ?? [])].find((one) => one.className === kind)?.focus();
  }

  /** Makes rows that can be edited. actions: {select(segment), edit(segment, row)}; null for rows as they are in a report. */
  edit(actions) {
    this.editing = actions;
    this.rows = new Map();
    this.table.classList.toggle("editable", Boolean(actions));
    const names = ["Play", "From", "To", "Sound", "Score", ...(actions ? ["Edit"] : [])];
    this.head.replaceChildren(...names.map((name) => make("th", { scope: "col" }, name)));
  }

  #choose(target) {
    const segment = target.closest("tr")?.segment;
    if (segment) this.editing?.select(segment);
  }

  /** Marks the row of a segment, and no other. */
  select(segment) {
    this.body.querySelector("[aria-current]")?.removeAttribute("aria-current");
    this.rows.get(segment)?.setAttribute("aria-current", "true");
  }

  #showAll() {
    this.limit = Infinity;
    const next = this.segments[this.rows.size];
    this.show(this.segments, "");
    this.rows.get(next).querySelector("button").focus(); // the button that had the focus is gone
  }

  /** Puts these rows into the table, touching as few as possible: thousands of rows take long to lay out. */
  #arrange(rows) {
    const wanted = new Set(rows);
    for (const row of [...this.body.children]) if (!wanted.has(row)) row.remove();
    let next = this.body.firstChild;
    for (const row of rows) {
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
    }
  }

  #row(segment) {
    const { label, start, end } = segment;
    const digits = this.editing ? 2 : 1;
    const name = `${readable(label)}, ${clock(start, digits)} to ${clock(end, digits)}`;
    const button = (title, text, className, onclick) =>
      make("button", { type: "button", class: className, "aria-label": `${title} ${name}`, onclick }, text);
    const row = make(
      "tr",
      {},
      make("td", {}, button("Play", "", "small clip", () => this.play(segment))),
      make("td", {}, clock(start, digits)),
      make("td", {}, clock(end, digits)),
      make("th", { scope: "row", lang: languageOf(label) }, readable(label)),
      make("td", { class: segment.score == null ? "edited" : null }, scoreOf(segment)),
    );
    if (this.editing) row.append(make("td", {}, button("Edit", "Edit", "small edit", () => this.editing.edit(segment, row))));
    row.segment = segment;
    return row;
  }

  /** Arrow keys lead from row to row. */
  #onKey(event) {
    const { key, target } = event;
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    const row = target.closest("button") && target.closest("tr");
    if (!this.editing || !step || !row?.segment || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
    const same = [...(next?.querySelectorAll("button") ?? [])].find((one) => one.className === target.className);
    if (!same) return;
    event.preventDefault();
    same.focus();
  }
}
