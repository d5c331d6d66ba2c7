// All segments of a long recording in one strip, above the timeline that shows a part of it.
import { make } from "./text.js";

const LANE = 10; // height, CSS pixels
const MIN_BAR = 2; // width of the shortest segment, CSS pixels
const MIN_DRAG = 6; // CSS pixels; less is a click

export class Overview {
  /** lanes: [{segments, colour}]. show(first, last), centre(time): called with seconds by a drag and by a click. */
  constructor(duration, lanes, { show, centre }) {
    this.duration = duration;
    this.lanes = lanes;
    this.canvas = make("canvas", {});
    this.frame = make("div", { class: "frame" });
    this.element = make(
      "div",
      { class: "overview", "aria-hidden": "true", title: "Click to go to a place. Drag over a stretch to show it." },
      this.canvas,
      this.frame,
    );
    this.element.addEventListener("pointerdown", (event) => {
      const from = this.#timeAt(event);
      const start = event.clientX;
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

  /** Draws all segments; called whenever the width may have changed. */
  draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    const height = LANE * Math.max(1, this.lanes.length);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    this.lanes.forEach(({ segments, colour }, lane) => {
      context.fillStyle = colour;
      for (const { start, end } of segments) {
        const length = Math.max(MIN_BAR, ((end - start) / this.duration) * width);
        context.fillRect((start / this.duration) * width, lane * LANE + 1, length, LANE - 2);
      }
    });
  }

  /** Frames the stretch that the timeline shows. */
  showFrame(first, last) {
    this.frame.style.left = `${(100 * first) / this.duration}%`;
    this.frame.style.width = `${(100 * (last - first)) / this.duration}%`;
  }

  #timeAt({ clientX }) {
    const { left, width } = this.element.getBoundingClientRect();
    return Math.min(1, Math.max(0, (clientX - left) / width)) * this.duration;
  }

  #ordered(one, other) {
    return [Math.min(one, other), Math.max(one, other)];
  }
}
