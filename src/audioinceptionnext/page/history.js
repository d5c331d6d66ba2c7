// The page of a server's history: a day as a timeline, numbers by day and by hour, and the events with their clips.
import { coloursOf } from "./colours.js";
import { dayOf, describeDay, describeMonth, hoursOf, isDay, minuteOf, monthOf, shift, shortDay } from "./days.js";
import { Bars, countEvents } from "./history_bars.js";
import { DayTimeline } from "./history_day.js";
import { noHistory, nothing } from "./history_empty.js";
import { Filters } from "./history_filters.js";
import { EventList, nameOf } from "./history_list.js";
import { ClipPlayer } from "./history_player.js";
import { HistoryStore } from "./history_store.js";
import { askKey } from "./key.js";
import { LanguageSwitch } from "./languages.js";
import { ServerEngine } from "./server.js";
import { make, number, readable } from "./text.js";

const REFRESH_MS = 5000;
const UNDO_MS = 10_000; // after which a deletion is sent to the server

const find = (id) => document.getElementById(id);

class HistoryPage {
  constructor() {
    const query = new URLSearchParams(location.search);
    this.engine = new ServerEngine();
    this.engine.askKey = askKey;
    this.store = new HistoryStore(this.engine);
    this.filters = new Filters(query, (done) => this.#filter(done));
    this.day = isDay(query.get("day")) ? query.get("day") : dayOf();
    this.hour = null; // of the day, by its start, if not all of it is shown
    this.chosen = null; // the id of the event that was picked in the timeline
    this.removed = new Map(); // events that are deleted soon, by id
    this.player = new ClipPlayer((id) => this.store.clip(id), () => this.#mark(), (error) => this.#showProblem(error));
    this.language = new LanguageSwitch(find("language"), this.engine, () => this.#renameSounds());
    this.#build();
    addEventListener("pagehide", () => this.#removeNow());
    addEventListener("keydown", (event) => this.#onKey(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.summary && this.#render()); // in other colours
    document.addEventListener("visibilitychange", () => document.hidden || this.#refresh());
    setInterval(() => document.hidden || this.#refresh(), REFRESH_MS);
  }

  #build() {
    const button = (attributes, ...content) => make("button", { type: "button", ...attributes }, ...content);
    this.date = make("input", { type: "date", id: "date", required: true, "aria-label": "Day", onchange: () => isDay(this.date.value) && this.#go(this.date.value) });
    this.next = button({ "aria-label": "Next day", title: "Next day", onclick: () => this.#go(shift(this.day, 1)) }, "›");
    this.todayButton = button({ onclick: () => this.#go(dayOf()) }, "Today");
    this.live = make("span", { class: "live-mark", hidden: true }, make("span", { class: "dot", "aria-hidden": "true" }), "updates by itself");
    this.title = make("h2", { tabindex: "-1" });
    const days = make(
      "div",
      { class: "day-picker", role: "group", "aria-label": "Day" },
      button({ "aria-label": "Previous day", title: "Previous day", onclick: () => this.#go(shift(this.day, -1)) }, "‹"),
      this.date,
      this.next,
      this.todayButton,
    );
    this.month = new Bars((day) => this.#go(day));
    this.hours = new Bars((start) => this.#showHour(start === this.hour ? null : start));
    this.timeline = new DayTimeline((event) => this.#pick(event));
    this.whole = button({ class: "plain", onclick: () => this.#showHour(null) }, "Show the whole day");
    this.stretch = make("h3");
    this.list = new EventList({
      play: (event) => this.#play(event),
      rename: (event, label) => this.#rename(event, label),
      remove: (event) => this.#remove(event),
      labels: () => [...new Set([...this.summary.labels, ...this.known])],
    });
    this.empty = make("div", { class: "empty" });
    this.undoText = make("span");
    this.undo = make("div", { class: "undo", hidden: true }, this.undoText, button({ class: "primary", onclick: () => this.#restore() }, "Undo"));
    const timeline = make("section", { class: "card", "aria-label": "Timeline" }, make("div", { class: "card-title" }, this.stretch, this.whole), this.timeline.element, this.timeline.more);
    this.charts = make("div", { class: "charts" }, this.month.element, this.hours.element);
    this.details = make("div", { class: "details" }, timeline, this.list.element);
    this.view = make("div", { class: "history", hidden: true }, make("div", { class: "day-head" }, days, this.title, this.live), this.filters.element, find("status"), this.charts, this.empty, this.details, this.undo);
  }

  async open() {
    try {
      const models = await this.engine.models();
      await this.language.begin();
      if (this.engine.offers.includes("teach")) find("views").firstChild.after(make("a", { href: "./#teach" }, "Teach"));
      if (!this.engine.offers.includes("history")) {
        find("history").replaceChildren(make("div", { class: "empty" }, ...noHistory()));
        return;
      }
      this.groups = Object.assign({}, ...models.map(({ groups }) => groups));
      this.known = [...new Set(models.flatMap(({ labels }) => labels))];
      this.summary = await this.store.summary();
      find("history").replaceChildren(this.view);
      await this.#load();
    } catch (error) {
      this.#showProblem(error);
    }
  }

  async #go(day) {
    if (day > "9999-12-31" || day === this.day) return;
    Object.assign(this, { day, hour: null, chosen: null });
    this.player.stop();
    this.view.classList.add("loading");
    this.#keepAddress();
    await this.#load().catch((error) => this.#showProblem(error));
  }

  async #load() {
    await Promise.all([this.store.load(this.day), this.#count()]);
    this.view.classList.remove("loading");
    this.view.hidden = false;
    this.#offerSounds();
    this.#showProblem(null);
    this.#render();
    find("status").textContent = `${describeDay(this.day)}: ${countEvents(this.shown.length)}.`;
  }

  /** Counts the events of each day of the month. */
  async #count() {
    const days = monthOf(this.day);
    const counts = await this.store.countDays(days, this.filters.parameters);
    if (days[0] === monthOf(this.day)[0]) this.counts = counts;
  }

  /** Adds what other programs have recorded, if the day is today. */
  async #refresh() {
    if (!this.summary || this.refreshing || this.store.day !== this.day || this.day !== dayOf()) return;
    this.refreshing = true;
    try {
      const changed = await this.store.refresh();
      if (changed) {
        this.summary = await this.store.summary();
        await this.#count();
        this.#offerSounds();
      }
      if (this.lost) this.#showProblem(null);
      this.lost = false;
      if (changed) this.#render();
      else this.#drawTimeline(); // where the mark of the present moves on
    } catch (error) {
      this.lost = true;
      this.#showProblem(new Error(`${error.message} This page tries again by itself.`));
    } finally {
      this.refreshing = false;
    }
  }

  #offerSounds() {
    const { labels, sources } = this.summary;
    const { events } = this.store;
    this.filters.offer(new Set([...labels, ...events.map(({ label }) => label)]), this.groups, sources, events);
  }

  /** done: false while a slider moves. */
  async #filter(done) {
    this.#keepAddress();
    this.#render();
    find("status").textContent = `${number(this.shown.length)} of ${countEvents(this.store.events.length)} shown.`;
    if (!done) return;
    await this.#count().catch((error) => this.#showProblem(error));
    this.#drawBars();
  }

  #keepAddress() {
    const { query } = this.filters;
    if (this.day !== dayOf()) query.set("day", this.day);
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
  }

  #showHour(start) {
    this.hour = start;
    this.#render();
    find("status").textContent = `${start === null ? describeDay(this.day) : this.stretch.textContent}: ${countEvents(this.inView.length)}.`;
  }

  /** The events of the day that fit the filters. */
  get shown() {
    const { fits } = this.filters;
    return this.store.events.filter((event) => !this.removed.has(event.id) && fits(event));
  }

  #render() {
    const today = dayOf();
    this.date.value = this.day;
    this.date.max = today;
    this.next.disabled = this.day >= today;
    this.todayButton.disabled = this.day === today;
    this.live.hidden = this.day !== today;
    this.title.textContent = describeDay(this.day);
    this.filters.element.hidden = this.charts.hidden = !this.summary.events;
    this.#drawBars();
    const shown = this.shown;
    this.colours = coloursOf({ clip: [], segments: this.store.events });
    const hour = hoursOf(this.day).find(({ start }) => start === this.hour);
    this.inView = hour ? shown.filter(({ start, end }) => end > hour.start && start < hour.end) : shown;
    this.stretch.textContent = hour ? `${minuteOf(hour.start)} to ${minuteOf(hour.end)}` : "Timeline";
    this.whole.hidden = !hour;
    this.details.hidden = !shown.length;
    this.#explainNothing(shown);
    this.#drawTimeline();
    const all = this.store.complete ? "" : `, the last of the day`;
    this.list.show(this.inView, this.colours, `${countEvents(this.inView.length)}${hour ? ` from ${this.stretch.textContent}` : ""}${all}`);
    this.#mark();
  }

  #drawBars() {
    const { labels } = this.filters.choice;
    const sum = (counts) => [...counts].reduce((total, [label, events]) => total + (labels.has(label) ? events : 0), 0);
    const days = [...this.counts].map(([day, counts]) => ({ key: day, value: sum(counts), name: shortDay(day), mark: mark(Number(day.slice(8)), 5) }));
    this.month.show(describeMonth(this.day), days, this.day);
    const starts = this.shown.map(({ start }) => start);
    const hours = hoursOf(this.day).map(({ start, end }) => {
      const text = minuteOf(start);
      return { key: start, value: starts.filter((one) => one >= start && one < end).length, name: text, mark: Number(text.slice(0, 2)) % 6 ? "" : text.slice(0, 2) };
    });
    this.hours.show("By hour", hours, this.hour);
  }

  #drawTimeline() {
    const hours = hoursOf(this.day);
    const { start, end } = hours.find((one) => one.start === this.hour) ?? { start: hours[0].start, end: hours.at(-1).end };
    const chosen = this.inView.find(({ id }) => id === (this.player.id ?? this.chosen)) ?? null;
    this.timeline.show(this.inView, this.colours, start, end, chosen);
  }

  #explainNothing(shown) {
    this.empty.hidden = shown.length > 0;
    if (shown.length) return;
    const hidden = this.store.events.length - this.removed.size;
    this.empty.replaceChildren(...nothing(this.summary, this.day, hidden, { go: (day) => this.#go(day), showAll: () => this.filters.clear() }));
  }

  #mark() {
    if (!this.colours) return;
    this.list.mark(this.player.id, this.player.id ?? this.chosen);
    this.#drawTimeline();
  }

  #play(event) {
    this.chosen = event.id;
    this.player.toggle(event.id);
  }

  /** An event in the timeline was clicked. */
  #pick(event) {
    this.chosen = event.id;
    if (event.clip) this.player.toggle(event.id);
    this.list.reveal(event);
    this.#mark();
  }

  /** Names the sounds in another language. */
  #renameSounds() {
    if (!this.summary) return;
    this.filters.rename();
    this.#render();
  }

  async #rename(event, label) {
    try {
      await this.store.rename(event.id, label);
      this.summary = await this.store.summary();
      await this.#count();
      this.#offerSounds();
      this.#render();
      find("status").textContent = `${nameOf(event)} is ${readable(label)} now.`;
    } catch (error) {
      this.#showProblem(error);
    }
  }

  #remove(event) {
    if (this.player.id === event.id) this.player.stop();
    this.list.focusBeside(event);
    this.removed.set(event.id, event);
    const text = this.removed.size === 1 ? `${nameOf(event)} is deleted.` : `${countEvents(this.removed.size)} are deleted.`;
    find("status").textContent = `${text} Ctrl+Z brings ${this.removed.size === 1 ? "it" : "them"} back.`;
    this.undoText.textContent = text;
    this.undo.hidden = false;
    clearTimeout(this.removing);
    this.removing = setTimeout(() => this.#removeNow(), UNDO_MS);
    this.#render();
  }

  #restore() {
    clearTimeout(this.removing);
    const [event] = this.removed.values();
    this.removed.clear();
    this.undo.hidden = true;
    this.#render();
    this.chosen = event.id;
    this.#mark();
    this.list.reveal(event);
    find("status").textContent = "Nothing was deleted.";
  }

  /** Sends the deletions to the server. */
  async #removeNow() {
    clearTimeout(this.removing);
    const ids = [...this.removed.keys()];
    if (!ids.length) return;
    this.undo.hidden = true;
    const results = await Promise.allSettled(ids.map((id) => this.store.remove(id)));
    ids.forEach((id) => this.removed.delete(id));
    const failed = results.find(({ status }) => status === "rejected");
    if (failed) this.#showProblem(failed.reason);
    this.summary = await this.store.summary().catch(() => this.summary);
    await this.#count().catch(() => {});
    this.#render();
  }

  #onKey(event) {
    if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || this.undo.hidden) return;
    if (event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    this.#restore();
  }

  #showProblem(error) {
    find("problem").textContent = error?.message ?? "";
    find("problem").hidden = !error;
  }
}

/** A text for one of so many bars. */
function mark(value, every) {
  return value === 1 || value % every === 0 ? String(value) : "";
}

new HistoryPage().open();
