// The list of the recordings of a Queue, with what can be done about each of them.
import { FORMATS, save } from "./formats.js";
import { countSegments, make, number } from "./text.js";
import { inWords } from "./time_left.js";

const PHASES = { preparing: "Loading the model", sending: "Sending", waiting: "Waiting for the server", recognising: "Recognising" };

export class QueueView {
  #rows = new Map(); // by entry

  /** show(entry), copyLink(entry): called by clicks. mayRemove(entry): whether it may be removed. asShown(result): a Result as the page shows and saves it. */
  constructor(queue, { show, copyLink, mayRemove, asShown }) {
    Object.assign(this, { queue, show, copyLink, mayRemove, asShown, shown: null });
    this.heading = make("h2", { class: "small-title" }, "Recordings");
    this.summary = make("span", { class: "quiet" });
    this.cancelAll = make("button", { type: "button", class: "plain", onclick: () => this.#cancelAll() }, "Cancel all");
    this.removeAll = make("button", { type: "button", class: "plain", onclick: () => this.#removeAll() }, "Remove all");
    const formats = Object.entries(FORMATS).filter(([, format]) => format.all);
    const buttons = formats.map(([name, { title }]) => make("button", { type: "button", class: "plain", onclick: () => this.#saveAll(name) }, title));
    this.downloads = make("span", { class: "save-all", role: "group", "aria-label": "Save all as" }, make("span", { class: "quiet", "aria-hidden": "true" }, "Save all as"), ...buttons);
    this.list = make("ol", { class: "entries", "aria-label": "Recordings" });
    const head = make("div", { class: "queue-head" }, this.heading, this.summary, this.downloads, this.cancelAll, this.removeAll);
    this.element = make("div", { class: "queue" }, head, this.list);
    this.update();
  }

  /** Shows how an entry is now; without one, only what is said of all. */
  update(entry) {
    if (entry) this.#updateRow(entry);
    const { queue } = this;
    const [all, done, failed] = [queue.entries.length, queue.count("done"), queue.count("failed")];
    const open = queue.count("waiting", "running");
    this.summary.textContent = `${number(done)} of ${number(all)} recognised${failed ? `, ${number(failed)} failed` : ""}`;
    this.cancelAll.hidden = open < 2;
    this.removeAll.hidden = open > 0 || all < 2;
    this.downloads.hidden = done < 2;
    for (const one of [this.heading, this.summary]) one.hidden = all < 2;
    this.element.hidden = !all;
  }

  /** Marks the entry whose result is shown. */
  mark(entry) {
    const before = this.shown;
    this.shown = entry;
    for (const one of [before, entry]) if (one) this.#updateRow(one);
    this.#rows.get(entry)?.element.scrollIntoView({ block: "nearest" });
  }

  #saveAll(name) {
    const { suffix, type, all } = FORMATS[name];
    const results = this.queue.entries.filter(({ state }) => state === "done").map(({ result }) => this.asShown(result));
    save(all(results), `recordings${suffix}`, type);
  }

  #cancelAll() {
    for (const entry of [...this.queue.entries].reverse()) this.queue.cancel(entry); // the one that runs last
  }

  #removeAll() {
    for (const entry of [...this.queue.entries]) if (this.mayRemove(entry)) this.queue.remove(entry);
  }

  #updateRow(entry) {
    const place = this.queue.entries.indexOf(entry);
    if (place < 0) {
      this.#removeRow(entry);
      return;
    }
    if (!this.#rows.has(entry)) {
      const row = new Row(entry, this);
      this.#rows.set(entry, row);
      this.list.insertBefore(row.element, this.list.children[place] ?? null);
    }
    this.#rows.get(entry).update(entry === this.shown);
  }

  #removeRow(entry) {
    const row = this.#rows.get(entry);
    if (!row) return;
    const hadFocus = row.element.contains(document.activeElement);
    const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling;
    this.#rows.delete(entry);
    row.element.remove();
    if (hadFocus) (neighbour?.querySelector("button:not([hidden])") ?? document.getElementById("choose")).focus();
  }
}

class Row {
  constructor(entry, view) {
    const { queue } = view;
    this.entry = entry;
    const button = (text, onclick, more = {}) => make("button", { type: "button", class: "plain", onclick, ...more }, text);
    this.name = make("button", { type: "button", class: "name", title: entry.name, onclick: () => view.show(entry) }, entry.name);
    this.bar = make("progress", { max: 1, "aria-label": `Progress of ${entry.name}` });
    this.state = make("span", { class: "state" });
    this.cancel = button("Cancel", () => queue.cancel(entry), { "aria-label": `Cancel ${entry.name}` });
    this.retry = button("Try again", () => queue.retry(entry), { "aria-label": `Try ${entry.name} again` });
    this.link = button("Copy link", () => view.copyLink(entry), { "aria-label": `Copy the link to ${entry.name}` });
    this.remove = button("×", () => view.mayRemove(entry) && queue.remove(entry), { title: "Remove", "aria-label": `Remove ${entry.name}` });
    const actions = make("span", { class: "entry-actions" }, this.retry, this.link, this.cancel, this.remove);
    this.element = make("li", { class: "entry" }, this.name, this.state, this.bar, actions);
  }

  update(shown) {
    const { state, result, problem, progress } = this.entry;
    const open = state === "running" || state === "waiting";
    const focused = this.element.contains(document.activeElement);
    this.element.dataset.state = state;
    this.element.classList.toggle("shown", shown);
    this.name.disabled = !result;
    if (shown) this.name.setAttribute("aria-current", "true");
    else this.name.removeAttribute("aria-current");
    this.bar.hidden = state !== "running";
    if (progress?.share == null) this.bar.removeAttribute("value");
    else this.bar.value = progress.share;
    const texts = {
      waiting: problem ?? "Waiting",
      running: inPhase(progress),
      done: result && `${countSegments(result.segments.length)}, by ${result.model}`,
      failed: problem,
      cancelled: "Cancelled",
    };
    this.state.textContent = texts[state];
    this.cancel.hidden = !open;
    this.retry.hidden = state !== "failed" && state !== "cancelled";
    this.link.hidden = !result?.kept;
    this.remove.hidden = open;
    // What had the focus may be gone now.
    if (focused && document.activeElement.closest("[hidden], :disabled")) this.element.querySelector("button:not([hidden], :disabled)").focus();
  }
}

/** "Recognising, 34 %, about 2 min left". */
function inPhase(progress) {
  if (!progress) return "Recognising …";
  const { phase, share, left } = progress;
  const parts = [PHASES[phase], share == null ? null : `${Math.floor(100 * share)}\u00a0%`, left == null || share === 1 ? null : inWords(left)];
  return share == null ? `${PHASES[phase]} …` : parts.filter(Boolean).join(", ");
}
