// Numbers as a row of bars, each of which is a button: by mouse, by keyboard (arrow keys go from bar to bar), and by ear.
import { make, number } from "./text.js";

export class Bars {
  /** onPick(key): called by the buttons. */
  constructor(onPick) {
    this.onPick = onPick;
    this.heading = make("h3");
    this.most = make("p", { class: "quiet most" });
    this.row = make("div", { class: "columns", role: "group", onkeydown: (event) => this.#onKey(event) });
    this.element = make("section", { class: "card" }, make("div", { class: "card-title" }, this.heading, this.most), this.row);
  }

  /**
   * title: of all bars. bars: [{key, value, mark, name}], where mark is the text below, or empty, and name says what is
   * counted, such as "14:00". chosen: the key of the bar that is pressed, or null.
   */
  show(title, bars, chosen) {
    const highest = Math.max(0, ...bars.map(({ value }) => value));
    this.heading.textContent = title;
    this.row.setAttribute("aria-label", title);
    this.most.textContent = highest ? `highest: ${countEvents(highest)}` : "";
    const keys = bars.map(({ key }) => key);
    if (keys.join() !== this.keys?.join()) {
      this.keys = keys;
      this.buttons = bars.map((bar) => this.#button(bar));
      this.row.replaceChildren(...this.buttons);
    }
    const reachable = keys.includes(chosen) ? chosen : keys.includes(this.reached) ? this.reached : keys[0];
    bars.forEach(({ key, value, name }, index) => {
      const button = this.buttons[index];
      const title = `${name}: ${countEvents(value)}`;
      button.title = title;
      button.setAttribute("aria-label", title);
      button.setAttribute("aria-pressed", String(key === chosen));
      button.tabIndex = key === reachable ? 0 : -1;
      button.classList.toggle("none", !value);
      button.firstChild.firstChild.style.height = `${highest ? Math.max(value ? 4 : 0, (100 * value) / highest) : 0}%`;
    });
  }

  #button({ key, mark }) {
    const fill = make("span", { class: "column-fill" });
    const button = make("button", { type: "button", class: "column", onclick: () => this.onPick(key) }, make("span", { class: "column-track" }, fill), make("span", { class: "mark" }, mark));
    button.addEventListener("focus", () => (this.reached = key));
    return button;
  }

  #onKey(event) {
    const at = this.buttons.indexOf(document.activeElement);
    const last = this.buttons.length - 1;
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (next === undefined || at < 0) return;
    event.preventDefault();
    const button = this.buttons[Math.min(last, Math.max(0, next))];
    this.buttons.forEach((one) => (one.tabIndex = one === button ? 0 : -1));
    button.focus();
  }
}

/** "1 event", "1,234 events". */
export function countEvents(value) {
  return `${number(value)} ${value === 1 ? "event" : "events"}`;
}
