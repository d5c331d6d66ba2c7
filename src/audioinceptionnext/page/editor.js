// Corrects the segments that a viewer shows, by mouse, touch and keyboard. corrections.js has the edits themselves.
import { correctionsOf, equal, MIN_SECONDS } from "./corrections.js";
import { Dragging } from "./dragging.js";
import { inClocks, inWords } from "./edit_words.js";
import { gestures, keys } from "./editor_help.js";
import { NUDGE, SegmentForm } from "./segmentform.js";
import { countSegments, describe, make, readable } from "./text.js";
import { watch } from "./unsaved.js";

const NEW_SECONDS = 1; // of a segment that a button adds
const HINT = "Choose a segment, in the timeline or in the table.";
let correcting = false; // whether the next result that is shown can be corrected at once, since the last one was

export class Editor {
  #form = null; // {form, row: of the table, or null}
  #dragging = null;

  /**
   * viewer: a Viewer. labels: the model's. onEdit(segment): called after each edit, to show the corrected segments in the
   * viewer, where `segment` gets the focus. extras: elements for what can be done with corrected segments.
   */
  constructor(viewer, { labels, onEdit, extras = [] }) {
    Object.assign(this, { viewer, labels, onEdit, selected: null, active: false });
    this.corrections = correctionsOf(viewer.result);
    const button = (text, onclick, title) => make("button", { type: "button", onclick, title }, text);
    this.toggle = make("button", { type: "button", class: "correct", "aria-pressed": "false", onclick: () => this.#switch() }, "Correct");
    this.mark = make("span", { class: "edited-mark" });
    this.addButton = button("Add", () => this.#addAtPlayhead(), "Add a segment at the playhead (N)");
    this.addButton.setAttribute("aria-label", "Add a segment");
    this.undoButton = button("Undo", () => this.#undo(), "Ctrl Z");
    this.redoButton = button("Redo", () => this.#redo(), "Ctrl Shift Z");
    this.revertButton = make("button", { type: "button", class: "small", onclick: () => this.#revert() }, "Back to the model’s segments");
    this.status = make("p", { class: "quiet", role: "status" });
    this.picked = make("div", { class: "picked" });
    this.bar = make(
      "section",
      { class: "corrections", "aria-label": "Corrections", hidden: true },
      this.picked,
      make("div", { class: "corrections-actions" }, this.addButton, this.undoButton, this.redoButton),
      this.status,
    );
    this.about = make(
      "section",
      { class: "about-corrections", "aria-label": "About corrections", hidden: true },
      make("p", { class: "quiet" }, gestures, " ", this.revertButton),
      ...extras,
      keys(),
    );
    // On a phone, the controls that stay in view have no room for more.
    const controls = make("div", { class: "correct-controls" }, this.toggle, this.mark);
    if (matchMedia("(max-width: 46rem)").matches) viewer.transport.after(controls);
    else viewer.transport.append(controls);
    viewer.beside.before(this.about);
    viewer.element.append(this.bar);
    viewer.pick = (segment) => {
      if (this.active) this.select(segment);
      viewer.play(segment);
    };
    viewer.onShow = () => this.#onShow();
    viewer.onClose = () => this.close();
    this.onKey = (event) => this.#onKey(event);
    document.addEventListener("keydown", this.onKey, true); // before those of the page
    if (correcting) this.#switch();
    else this.#update();
  }

  close() {
    document.removeEventListener("keydown", this.onKey, true);
    this.#dragging?.close();
  }

  #switch() {
    const active = (correcting = this.active = !this.active);
    this.bar.hidden = this.about.hidden = !active;
    this.viewer.element.classList.toggle("editing", active);
    this.toggle.setAttribute("aria-pressed", String(active));
    const { table, timeline, shown } = this.viewer;
    if (active) {
      table.edit({ select: (segment) => this.select(segment), edit: (segment, row) => this.#edit(segment, row) });
      this.#dragging = new Dragging(timeline, {
        select: (segment) => this.select(segment),
        change: (times) => this.#onDragged(times),
        draw: (times, label) => this.#onDrawn(times, label),
        show: (times) => this.#showTimes(times),
      });
    } else {
      this.#closeForm();
      table.edit(null);
      this.#dragging.close();
      this.#dragging = this.selected = null;
    }
    this.viewer.show(shown); // whose rows and times look different now
    this.#update();
  }

  /** Chooses a segment for the keys, the handles and the panel; null for none. */
  select(segment) {
    if (this.#form && segment !== this.#form.segment) this.#closeForm();
    const other = segment !== this.selected;
    this.selected = segment;
    this.viewer.timeline.select(segment);
    this.viewer.table.select(segment);
    if (!this.#form) this.#dragging?.mark(segment);
    if (segment && other) this.viewer.timeline.reveal(segment.start, segment.end);
    this.#showPicked();
  }

  #showPicked() {
    if (this.#form) return;
    const segment = this.selected;
    const focused = this.picked.contains(document.activeElement) ? document.activeElement.textContent : null;
    if (!segment) {
      this.picked.replaceChildren(make("p", { class: "quiet" }, HINT));
      if (focused) this.viewer.timeline.element.focus({ preventScroll: true }); // the buttons are gone
      return;
    }
    const button = (text, onclick) => make("button", { type: "button", "aria-label": `${text} the chosen segment`, onclick }, text);
    this.picked.replaceChildren(
      make("p", {}, make("b", {}, readable(segment.label)), " ", make("span", { class: "time" }, inClocks(segment))),
      make(
        "div",
        { class: "corrections-actions" },
        button("Play", () => this.viewer.play(segment)),
        button("Edit", () => this.#edit(segment)),
        button("Delete", () => this.#remove(segment)),
      ),
    );
    [...this.picked.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
  }

  /** Shows the times of a drag as it goes on. */
  #showTimes(times) {
    const text = this.picked.querySelector(".time");
    if (text) text.textContent = inClocks(times);
  }

  /** Opens the form for a segment, in its row of the table or, without one, below the timeline. */
  #edit(segment, row = null) {
    this.select(segment);
    this.#openForm(segment, segment, row);
  }

  /** segment: null for one that is to be added. */
  #openForm(segment, values, row = null) {
    this.#closeForm();
    const used = [...new Set(this.viewer.shown.segments.map(({ label }) => label))];
    const form = new SegmentForm({
      values,
      labels: [...new Set([...used, ...this.corrections.labels, ...this.labels])],
      duration: this.viewer.result.duration,
      playhead: () => this.viewer.player.time,
      onTimes: (times) => this.#dragging.mark(times),
      alike: segment ? this.#alike(segment).length : 0,
      onSave: (written, all) => this.#save(segment, written, all),
      onCancel: () => this.#closeForm(true),
      onDelete: segment && ((all) => this.#remove(segment, all)),
    });
    this.#form = { form, segment, row };
    this.bar.classList.add(row ? "elsewhere" : "writing");
    if (row) {
      row.after(make("tr", {}, make("td", { colspan: row.cells.length }, form.element)));
      row.hidden = true;
    } else this.picked.replaceChildren(form.element);
    this.#dragging.mark(values);
    this.viewer.timeline.reveal(values.start, values.end);
    form.focus();
  }

  /** focus: whether the button that opens the form gets the focus. */
  #closeForm(focus = false) {
    if (!this.#form) return;
    const { form, row, segment } = this.#form;
    this.#form = null;
    this.bar.classList.remove("elsewhere", "writing");
    const place = form.element.closest("tr");
    if (place) place.remove();
    if (row) row.hidden = false;
    this.#dragging?.mark(this.selected);
    this.#showPicked();
    if (!focus) return;
    const opener = row ? row.querySelector(".edit") : segment ? this.picked.querySelectorAll("button")[1] : null;
    (opener ?? this.viewer.timeline.element).focus({ preventScroll: !row });
  }

  /** The other segments of the same label, of those that are shown. */
  #alike(segment) {
    return this.viewer.shown.segments.filter((one) => one !== segment && one.label === segment.label);
  }

  /** all: whether the others of its label are renamed, too. */
  #save(segment, values, all) {
    const { row } = this.#form;
    this.#closeForm(true);
    if (segment) this.#change(segment, values, { also: all && values.label !== segment.label ? this.#alike(segment) : [] });
    else this.#add(values);
    if (!row) (this.picked.querySelectorAll("button")[1] ?? this.viewer.timeline.element).focus({ preventScroll: true });
  }

  #add(values) {
    const text = `Added ${readable(values.label)}, ${inClocks(this.corrections.fit(values))}.`;
    this.#finish(this.corrections.add(values, text), text);
  }

  #addAtPlayhead() {
    const { duration } = this.viewer.result;
    const start = Math.max(0, Math.min(this.viewer.player.time, duration - NEW_SECONDS));
    this.select(null);
    this.#openForm(null, { start, end: Math.min(duration, start + NEW_SECONDS), label: "" });
  }

  /** options: as corrections.js has them. */
  #change(segment, values, options = {}) {
    const text = inWords(segment, this.corrections.fit({ ...segment, ...values }), options.also?.length);
    const changed = this.corrections.change(segment, values, text, options);
    if (changed !== segment) this.#finish(changed, text);
  }

  /** all: whether the others of its label are deleted, too. */
  #remove(segment, all = false) {
    this.#closeForm();
    const { segments } = this.viewer.shown;
    const also = all ? this.#alike(segment) : [];
    const place = segments.indexOf(segment);
    const stays = (one) => one !== segment && !also.includes(one);
    const next = segments.slice(place).find(stays) ?? segments.slice(0, place).findLast(stays) ?? null;
    const text = also.length ? `Deleted ${countSegments(also.length + 1)} of ${readable(segment.label)}.` : `Deleted ${describe(segment)}.`;
    this.corrections.remove(segment, text, also);
    const inTable = this.viewer.table.element.contains(document.activeElement);
    this.#finish(inTable ? next : null, text, next);
  }

  #revert() {
    if (!this.corrections.edited) return;
    const text = "Back to the model’s segments.";
    this.corrections.revert(text);
    this.#finish(null, text);
  }

  #undo() {
    const done = this.corrections.undo();
    if (done) this.#finish(done.segment, `Undone: ${done.text}`);
  }

  #redo() {
    const done = this.corrections.redo();
    if (done) this.#finish(done.segment, `Done again: ${done.text}`);
  }

  /** Shows an edit, chooses the segment concerned, and says what has happened. heir: see segments.js. */
  #finish(segment, text, heir = segment) {
    watch(this.corrections);
    this.#closeForm();
    this.onEdit(heir);
    const { segments } = this.viewer.shown;
    const shown = segment && segments.find((one) => equal(one, segment));
    this.select(shown ?? null);
    const hidden = segment && !shown;
    this.status.textContent = text + (hidden ? ` It is hidden: ${readable(segment.label)} is not among the sounds that are shown.` : "");
    this.#update();
  }

  #update() {
    const { corrections } = this;
    this.undoButton.setAttribute("aria-disabled", String(!corrections.canUndo)); // disabled, it would lose the focus
    this.redoButton.setAttribute("aria-disabled", String(!corrections.canRedo));
    this.revertButton.setAttribute("aria-disabled", String(!corrections.edited));
    const counts = Object.entries(corrections.counts).filter(([, count]) => count);
    this.mark.textContent = corrections.edited ? `Edited: ${counts.map(([what, count]) => `${count} ${what}`).join(", ")}` : "";
    this.mark.hidden = !corrections.edited;
    if (!this.#form) this.#showPicked();
  }

  /** The viewer shows other segments: the chosen one may be among them. */
  #onShow() {
    if (!this.active) return;
    this.#closeForm();
    const { segments } = this.viewer.shown;
    const { selected } = this;
    const found = selected && (segments.includes(selected) ? selected : segments.find((one) => equal(one, selected)));
    this.selected = found ?? null;
    this.viewer.timeline.select(this.selected);
    this.viewer.table.select(this.selected);
    this.#dragging.mark(this.selected);
    this.#showPicked();
  }

  #onDragged({ start, end }) {
    if (this.#form) {
      this.#form.form.setTimes({ start, end });
      this.#dragging.mark({ start, end });
    } else if (this.selected) this.#change(this.selected, { start, end });
  }

  #onDrawn(times, label) {
    if (label) {
      this.#add({ ...times, label });
      return;
    }
    this.select(null);
    this.#openForm(null, { ...times, label: "" });
  }

  #onKey(event) {
    const { target, key } = event;
    if (!this.active || !this.viewer.element.offsetParent || event.defaultPrevented) return;
    if (key === "Escape" && this.#dragging.cancel()) return;
    if (target.closest?.("input, select, textarea, dialog, video, audio")) return;
    const command = event.ctrlKey || event.metaKey;
    const letter = key.toLowerCase();
    let action = null;
    if (command && !event.altKey && (letter === "z" || letter === "y")) action = letter === "y" || event.shiftKey ? () => this.#redo() : () => this.#undo();
    else if (!command || event.getModifierState("AltGraph")) action = this.#actionOf(event, letter);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  #actionOf(event, letter) {
    const segment = this.selected;
    const { shiftKey, altKey, target } = event;
    if (letter === "n" && !altKey) return () => this.#addAtPlayhead();
    if (!segment) return null;
    const step = { arrowleft: -NUDGE, arrowright: NUDGE }[letter];
    if (step && (shiftKey || altKey)) return () => this.#nudge(segment, shiftKey ? step : 0, altKey ? step : 0);
    const { time } = this.viewer.player;
    if (letter === "[" || (letter === "i" && !altKey)) return () => this.#bound(segment, { start: time });
    if (letter === "]" || (letter === "o" && !altKey)) return () => this.#bound(segment, { end: time });
    if (altKey || shiftKey) return null;
    if (letter === "p") return () => this.viewer.play(segment);
    if (letter === "delete" || letter === "backspace") return () => this.#remove(segment);
    // A focused button keeps the key that presses it; bars are buttons for the mouse only.
    if (letter === "enter" && (!target.closest?.("button, a, summary") || target.closest(".bar"))) return () => this.#edit(segment);
    return null;
  }

  #nudge(segment, first, last) {
    const times = { start: segment.start + first, end: segment.end + last };
    const { duration } = this.viewer.result;
    if (first && last && (times.start < 0 || times.end > duration)) return;
    if (times.end - times.start < MIN_SECONDS - 1e-9) return;
    this.#change(segment, times, { merge: `nudge ${Boolean(first)} ${Boolean(last)}` });
  }

  #bound(segment, times) {
    const { start, end } = { ...segment, ...times };
    if (end > start) this.#change(segment, times);
    else this.status.textContent = `The playhead is ${times.start === undefined ? "before the start" : "after the end"} of the chosen segment.`;
  }
}
