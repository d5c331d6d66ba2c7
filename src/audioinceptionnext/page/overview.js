// All segments of a long recording in one strip, above the timeline that shows a part of it.
import { describe, make } from "./text.js";

const HEIGHT = 120; // of all lanes together, CSS pixels, unless they are very many or few
const [MIN_LANE, MAX_LANE] = [4, 10]; // height of one
const HINT = "Click to go to a place, drag to zoom.";
const NEAR = 16; // CSS pixels from a mark that still mean it, since fingers are wide
const MIN_BAR = 2; // width of the shortest segment, CSS pixels
const MIN_DRAG = 6; // CSS pixels; less is a click

export class Overview {
  /** show(first, last), centre(time): called with seconds by a drag and by a click. */
  constructor(duration, { show, centre }) {
    this.duration = duration;
    this.lanes = [];
    this.canvas = make("canvas", {});
    this.frame = make("div", { class: "frame" });
    this.caption = make("p", { class: "quiet caption", "aria-hidden": "true" }, HINT);
    this.element = make("div", { class: "overview", "aria-hidden": "true" }, this.canvas, this.frame);
    this.element.addEventListener("pointermove", (event) => this.#nameMark(event));
    this.element.addEventListener("pointerdown", (event) => {
      const from = this.#timeAt(event);
      const start = event.clientX;
      this.#nameMark(event);
      this.element.setPointerCapture(event.pointerId);
      const isDrag = ({ clientX }) => Math.abs(clientX - start) >= MIN_DRAG;
      this.element.onpointermove = (move) => isDrag(move) && this.showFrame(...this.#ordered(from, this.#timeAt(move)));
      this.element.onpointercancel = this.element.onpointerup = (up) => {
        this.element.onpointermove = this.element.onpointerup = this.element.onpointercancel = null;
        if (isDrag(up)) show(...this.#ordered(from, this.#timeAt(up)));
        else centre(from);
      };
    });
  }

  /** Draws these lanes: [{segments, colour}]. */
  show(lanes) {
    this.lanes = lanes;
    this.laneHeight = Math.min(MAX_LANE, Math.max(MIN_LANE, HEIGHT / Math.max(1, lanes.length)));
    this.draw();
  }

  /** Draws all segments; called whenever the width may have changed. */
  draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    const lane = this.laneHeight;
    const height = lane * Math.max(1, this.lanes.length);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    this.lanes.forEach(({ segments, colour }, index) => {
      context.fillStyle = colour;
      for (const { start, end } of segments) {
        const length = Math.max(MIN_BAR, ((end - start) / this.duration) * width);
        context.fillRect((start / this.duration) * width, index * lane + 1, length, lane - 2);
      }
    });
  }

  /** Frames the stretch that the timeline shows. */
  showFrame(first, last) {
    this.frame.style.left = `${(100 * first) / this.duration}%`;
    this.frame.style.width = `${(100 * (last - first)) / this.duration}%`;
  }

  /** Says below the strip which segment the pointer means: the nearest one. */
  #nameMark({ clientX, clientY }) {
    const { left, top, width } = this.element.getBoundingClientRect();
    let [nearest, least] = [null, NEAR];
    this.lanes.forEach(({ segments }, index) => {
      const down = Math.abs(clientY - top - (index + 0.5) * this.laneHeight);
      for (const one of segments) {
        const [from, to] = [one.start, one.end].map((time) => left + (time / this.duration) * width);
        const distance = Math.hypot(Math.max(0, from - clientX, clientX - to), down);
        if (distance < least) [nearest, least] = [one, distance];
      }
    });
    this.caption.textContent = nearest ? describe(nearest) : HINT;
  }

  #timeAt({ clientX }) {
    const { left, width } = this.element.getBoundingClientRect();
    return Math.min(1, Math.max(0, (clientX - left) / width)) * this.duration;
  }

  #ordered(one, other) {
    return [Math.min(one, other), Math.max(one, other)];
  }
}
