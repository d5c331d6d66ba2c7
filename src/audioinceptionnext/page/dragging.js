// Segments moved, resized and drawn in the timeline, by mouse, pen or finger.
import { MIN_SECONDS } from "./corrections.js";
import { clock, make } from "./text.js";

const MIN_DRAG = 4; // CSS pixels; less is a click
const EDGE = 7; // CSS pixels of a bar's end that resize it
const SCROLL_ZONE = 30; // CSS pixels at the sides of the view in which a drag scrolls

export class Dragging {
  /**
   * timeline: a Timeline. select(segment): called when one is touched. change({start, end}): called at the end of a drag
   * that moved or resized what `mark` shows. draw({start, end}, label): called when a stretch has been drawn, with the label
   * of its lane, or null on the picture. show({start, end}): called as a drag goes on.
   */
  constructor(timeline, { select, change, draw, show }) {
    Object.assign(this, { timeline, select, change, draw, show, marked: null, drag: null });
    this.text = make("span", { class: "band-times" });
    const grip = (edge) => make("span", { class: `grip ${edge}` });
    this.band = make("div", { class: "band", "aria-hidden": "true", hidden: true }, grip("start"), grip("end"), this.text);
    this.ghost = make("div", { class: "ghost" });
    timeline.inner.append(this.band);
    timeline.element.classList.add("correcting");
    this.listeners = {
      pointerdown: (event) => this.#onDown(event),
      pointermove: (event) => this.#onMove(event),
      pointerup: (event) => this.#onUp(event),
      pointercancel: () => this.#end(),
    };
    for (const [name, listener] of Object.entries(this.listeners)) timeline.inner.addEventListener(name, listener);
  }

  close() {
    this.#end();
    for (const [name, listener] of Object.entries(this.listeners)) this.timeline.inner.removeEventListener(name, listener);
    this.timeline.element.classList.remove("correcting");
    this.timeline.select(null);
    this.band.remove();
  }

  /** Shows a stretch, with handles, over the picture; null for none. */
  mark(stretch) {
    this.marked = stretch;
    this.band.hidden = !stretch;
    if (stretch) this.#place(stretch);
  }

  /** Ends a drag without an effect. Returns whether there was one. */
  cancel() {
    const dragging = Boolean(this.drag?.moved);
    this.#end();
    return dragging;
  }

  #place({ start, end }) {
    const { duration } = this.timeline.result;
    for (const element of [this.band, this.ghost]) {
      element.style.left = `${(100 * start) / duration}%`;
      element.style.width = `${(100 * (end - start)) / duration}%`;
    }
    this.text.textContent = `${clock(start, 2)} to ${clock(end, 2)} (${(end - start).toFixed(2)} s)`;
    this.text.classList.toggle("left", start > duration / 2); // where there is room
  }

  #onDown(event) {
    const { target } = event;
    if (event.button !== 0 || !event.isPrimary || this.drag) return;
    const bar = target.closest(".bar");
    const touch = event.pointerType === "touch";
    const from = this.timeline.timeAt(event.clientX);
    if (target.closest(".grip")) {
      this.#begin(event, target.classList.contains("start") ? "start" : "end", this.marked);
    } else if (bar) {
      const selected = bar.classList.contains("selected");
      if (touch && !selected) return; // it scrolls, and a tap is a click
      if (!selected) this.select(bar.segment);
      this.#begin(event, edgeOf(bar, event.clientX) ?? "move", bar.segment);
    } else if (!touch && target.closest(".bars, .log-mel")) {
      this.#begin(event, "draw", { start: from, end: from }, target.closest(".bars")?.lane.label ?? null);
    }
  }

  #begin(event, what, { start, end }, label = null) {
    const { clientX, pointerId } = event;
    this.drag = { what, start, end, label, from: this.timeline.timeAt(clientX), clientX, at: clientX, pointerId, moved: false };
    if (what !== "draw") event.preventDefault(); // no text is selected
    if (event.target.closest(".grip")) this.timeline.element.focus({ preventScroll: true });
  }

  #onMove(event) {
    const { drag } = this;
    if (!drag) {
      const bar = event.target.closest(".bar");
      bar?.classList.toggle("edge", edgeOf(bar, event.clientX) !== null);
      return;
    }
    drag.at = event.clientX;
    if (!drag.moved) {
      if (Math.abs(drag.at - drag.clientX) < MIN_DRAG) return;
      drag.moved = true;
      this.timeline.inner.setPointerCapture(drag.pointerId);
      const track = drag.what === "draw" ? event.target.closest(".bars") : this.timeline.inner.querySelector(".bar.selected")?.parentElement;
      track?.append(this.ghost);
      this.band.hidden = false;
      this.timeline.element.classList.add("dragging");
      this.#scroll();
    }
    this.#follow();
  }

  #follow() {
    const stretch = this.#stretch();
    this.#place(stretch);
    if (this.drag.what !== "draw") this.show(stretch);
  }

  /** The stretch that the drag makes, in hundredths of a second. */
  #stretch() {
    const { what, start, end, from, at } = this.drag;
    const { duration } = this.timeline.result;
    const round = (seconds) => Math.round(seconds * 100) / 100;
    const clip = (seconds, low, high) => Math.max(low, Math.min(high, seconds));
    const time = this.timeline.timeAt(at);
    if (what === "start") return { start: clip(round(start + time - from), 0, end - MIN_SECONDS), end };
    if (what === "end") return { start, end: clip(round(end + time - from), start + MIN_SECONDS, duration) };
    if (what === "move") {
      const first = clip(round(start + time - from), 0, duration - (end - start));
      return { start: first, end: first + end - start };
    }
    const [first, last] = [from, time].sort((a, b) => a - b);
    return { start: clip(round(first), 0, duration - MIN_SECONDS), end: clip(round(last), MIN_SECONDS, duration) };
  }

  /** Scrolls while the pointer is at a side of the view. */
  #scroll() {
    if (!this.drag?.moved) return;
    const { element } = this.timeline;
    const { left, right } = element.getBoundingClientRect();
    const { at } = this.drag;
    const over = Math.max(0, at - right + SCROLL_ZONE) - Math.max(0, left + SCROLL_ZONE - at);
    if (over) {
      element.scrollLeft += Math.max(-12, Math.min(12, over / 3));
      this.#follow();
    }
    requestAnimationFrame(() => this.#scroll());
  }

  #onUp() {
    const { drag } = this;
    if (!drag) return;
    const stretch = drag.moved ? this.#stretch() : null;
    if (drag.moved) {
      // The click that follows a drag means nothing.
      const swallow = (event) => event.stopPropagation();
      this.timeline.inner.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => this.timeline.inner.removeEventListener("click", swallow, { capture: true }));
    }
    this.#end();
    if (!stretch) return;
    if (drag.what === "draw") this.draw(stretch, drag.label);
    else this.change(stretch);
  }

  #end() {
    this.drag = null;
    this.ghost.remove();
    this.timeline.element.classList.remove("dragging");
    this.mark(this.marked);
  }
}

/** Which end of a bar is at a place: "start", "end", or null for the middle of it, and for all of a narrow one. */
function edgeOf(bar, clientX) {
  const { left, right } = bar.getBoundingClientRect();
  if (right - left < 3 * EDGE) return null;
  return clientX - left < EDGE ? "start" : right - clientX < EDGE ? "end" : null;
}
