// The table of events: play, rename, delete. It is what keyboards and screen readers use in place of the timeline.
import { timeOf } from "./days.js";
import { lengthOf } from "./history_day.js";
import { LabelBox } from "./labelbox.js";
import { languageOf, make, number, percent, readable } from "./text.js";

const MAX_ROWS = 100; // until more are requested

export class EventList {
  /** actions: {play(event), rename(event, label), remove(event), labels()}; labels() are those that are offered. */
  constructor(actions) {
    Object.assign(this, { actions, rows: new Map(), limit: MAX_ROWS, events: [], playing: null, chosen: null });
    this.heading = make("h3", { tabindex: "-1" });
    this.body = make("tbody");
    const names = ["Play", "Time", "Length", "Sound", "Score", "Input", "Change"];
    const head = make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name))));
    this.table = make("table", { class: "event-table" }, head, this.body);
    this.more = make("button", { type: "button", class: "more", onclick: () => this.#showMore() });
    this.element = make("section", { class: "card", "aria-label": "Events" }, this.heading, this.table, this.more);
  }

  /** events: ordered by start; the list begins with the last one. colours: by label. title: of the list. */
  show(events, colours, title) {
    this.events = [...events].reverse();
    this.colours = colours;
    this.heading.textContent = title;
    this.table.hidden = !events.length;
    this.#update();
  }

  #showMore() {
    const first = this.limit;
    this.limit += MAX_ROWS;
    this.#update();
    this.body.children[first]?.querySelector("button")?.focus(); // the first that is new
  }

  #update() {
    const shown = this.events.slice(0, this.limit);
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, { row }] of this.rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    // Rows stay where they are, unless they are new or have changed, so that the keyboard's focus stays, too.
    let next = this.body.firstChild;
    for (const event of shown) {
      const text = JSON.stringify([event, readable(event.label), this.colours.get(event.label)]);
      let entry = this.rows.get(event.id);
      if (entry && entry.text !== text && !entry.editing) {
        const fresh = this.#row(event, text);
        const focused = [...entry.row.querySelectorAll("button")].indexOf(document.activeElement);
        if (next === entry.row) next = fresh.row;
        entry.row.replaceWith(fresh.row);
        if (focused >= 0) fresh.row.querySelectorAll("button")[focused]?.focus();
        entry = fresh;
      }
      entry ??= this.#row(event, text);
      this.rows.set(event.id, entry);
      if (entry.row === next) next = next.nextSibling;
      else this.body.insertBefore(entry.row, next);
    }
    const left = this.events.length - shown.length;
    this.more.hidden = left <= 0;
    this.more.textContent = `Show ${number(Math.min(left, MAX_ROWS))} more of ${number(left)}`;
    this.#mark();
  }

  /** Marks the event whose clip plays, and the one that was chosen in the timeline. */
  mark(playing, chosen) {
    Object.assign(this, { playing, chosen });
    this.#mark();
  }

  #mark() {
    for (const [id, { row, play, event }] of this.rows) {
      if (id === this.chosen) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
      if (!play) continue;
      const plays = id === this.playing;
      play.classList.toggle("playing", plays);
      play.setAttribute("aria-label", `${plays ? "Stop" : "Play"} ${nameOf(event)}`);
    }
  }

  /** Brings the row of an event into view. */
  reveal(event) {
    const place = this.events.findIndex(({ id }) => id === event.id);
    if (place >= this.limit) {
      this.limit = place + MAX_ROWS;
      this.#update();
    }
    this.rows.get(event.id)?.row.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  /** Where the focus goes when the row of an event is about to vanish: the same button of the next row, or of the one before. */
  focusBeside(event) {
    const place = this.events.findIndex(({ id }) => id === event.id);
    const heir = this.events[place + 1] ?? this.events[place - 1];
    const row = heir && this.rows.get(heir.id)?.row;
    (row?.querySelector(".delete") ?? this.heading).focus();
  }

  #row(event, text) {
    const { label, score, start, end, source, clip, corrected } = event;
    const entry = { event, text, editing: false };
    const name = nameOf(event);
    if (clip) entry.play = make("button", { type: "button", class: "small clip", onclick: () => this.actions.play(event) });
    const swatch = make("span", { class: "swatch", style: { background: this.colours.get(label) }, "aria-hidden": "true" });
    entry.sound = make("th", { scope: "row" }, swatch, make("span", { lang: languageOf(label) }, readable(label)), corrected ? make("span", { class: "badge" }, "corrected") : null);
    entry.rename = make("button", { type: "button", class: "plain", "aria-label": `Rename ${name}`, onclick: () => this.#edit(entry) }, "Rename");
    const remove = make("button", { type: "button", class: "plain delete", "aria-label": `Delete ${name}`, onclick: () => this.actions.remove(event) }, "Delete");
    entry.row = make(
      "tr",
      {},
      make("td", { class: "play-cell" }, entry.play ?? make("span", { class: "quiet", title: "No clip was kept" }, "–")),
      make("td", { class: "time" }, timeOf(start)),
      make("td", { class: "length" }, lengthOf(start, end)),
      entry.sound,
      make("td", { class: "score-cell" }, score == null ? "–" : percent(score)),
      make("td", { class: "source" }, source),
      make("td", { class: "change" }, entry.rename, remove),
    );
    return entry;
  }

  /** Puts a box for the label in place of it. Enter saves, Escape leaves it as it was. */
  #edit(entry) {
    if (entry.editing) return;
    entry.editing = true;
    const { event } = entry;
    const box = new LabelBox(this.actions.labels(), event.label);
    box.input.setAttribute("aria-label", `The right label of ${nameOf(event)}`);
    const close = () => {
      form.replaceWith(...before);
      entry.editing = false;
      this.#update(); // the event may have changed meanwhile
      this.rows.get(event.id)?.rename.focus();
    };
    const form = make(
      "form",
      {
        class: "rename",
        onsubmit: (submit) => {
          submit.preventDefault();
          const { value } = box;
          close();
          if (value && value !== event.label) this.actions.rename(event, value);
        },
        onkeydown: (key) => key.key === "Escape" && close(),
      },
      box.element,
      make("button", { class: "plain primary" }, "Save"),
      make("button", { type: "button", class: "plain", onclick: close }, "Cancel"),
    );
    const before = [...entry.sound.childNodes];
    entry.sound.replaceChildren(form);
    box.input.focus();
    box.input.select();
  }
}

/** "clean dishes at 08:15:02". */
export function nameOf({ label, start }) {
  return `${readable(label)} at ${timeOf(start)}`;
}
