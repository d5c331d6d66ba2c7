// All segments of a long recording in one strip, above the timeline that shows a part of it: a lane for each label, with its
// name where there is room, and below them the time.
import { clock, describe, make, readable } from "./text.js";

const HEIGHT = 120; // of all lanes together, CSS pixels, unless they are very many or few
const [MIN_LANE, MAX_LANE] = [4, 10]; // height of one
const NAMED_LANE = 14; // height of one with its name
const NAMED_WIDTH = 640; // CSS pixels from which on there is room for names
const HINT = "Click to go to a place, drag to zoom.";
const NEAR = 16; // CSS pixels from a mark that still mean it, since fingers are wide
const MIN_BAR = 2; // width of the shortest segment, CSS pixels
const MIN_ALPHA = 0.65; // of a pixel that a label hardly covers
const MIN_DRAG = 6; // CSS pixels; less is a click
const [TICK_SECONDS, TICK_WIDTH] = [[10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400], 72];
const RULER_HEIGHT = 18;

export class Overview {
  /** show(first, last), centre(time): called with seconds by a drag and by a click. */
  constructor(duration, { show, centre }) {
    this.duration = duration;
    this.lanes = [];
    this.canvas = make("canvas", {});
    this.frame = make("div", { class: "frame" });
    this.playhead = make("div", { class: "playhead" });
    this.caption = make("p", { class: "quiet caption", "aria-hidden": "true" }, HINT);
    this.strip = make("div", { class: "overview" }, this.canvas, this.frame, this.playhead);
    this.names = make("div", { class: "overview-names" });
    this.ruler = make("canvas", { class: "overview-ruler" });
    this.element = make("div", { class: "overview-all", "aria-hidden": "true" }, this.names, this.strip, this.ruler);
    this.strip.addEventListener("pointermove", (event) => this.#nameMark(event));
    this.strip.addEventListener("pointerdown", (event) => {
      const from = this.#timeAt(event);
      const start = event.clientX;
      this.#nameMark(event);
      this.strip.setPointerCapture(event.pointerId);
      const isDrag = ({ clientX }) => Math.abs(clientX - start) >= MIN_DRAG;
      this.strip.onpointermove = (move) => isDrag(move) && this.showFrame(...this.#ordered(from, this.#timeAt(move)));
      this.strip.onpointercancel = this.strip.onpointerup = (up) => {
        this.strip.onpointermove = this.strip.onpointerup = this.strip.onpointercancel = null;
        if (isDrag(up)) show(...this.#ordered(from, this.#timeAt(up)));
        else centre(from);
      };
    });
  }

  /** Draws these lanes: [{label, segments, colour}]. */
  show(lanes) {
    this.lanes = lanes;
    this.names.replaceChildren(...lanes.map(({ label }) => make("div", { style: { height: `${NAMED_LANE}px` }, title: readable(label) }, readable(label))));
    this.draw();
  }

  /** Draws all segments; called whenever the width may have changed. */
  draw() {
    const named = this.element.clientWidth >= NAMED_WIDTH;
    this.names.hidden = !named;
    this.element.classList.toggle("named", named);
    this.laneHeight = named ? NAMED_LANE : Math.min(MAX_LANE, Math.max(MIN_LANE, HEIGHT / Math.max(1, this.lanes.length)));
    const width = this.strip.clientWidth;
    if (!width) return;
    const context = sized(this.canvas, width, this.laneHeight * Math.max(1, this.lanes.length));
    const scale = width / this.duration;
    this.lanes.forEach(({ segments, colour }, index) => {
      context.fillStyle = colour;
      coverage(segments, scale, Math.ceil(width)).forEach((share, x) => {
        if (!share) return;
        context.globalAlpha = MIN_ALPHA + (1 - MIN_ALPHA) * Math.min(1, share);
        context.fillRect(x, index * this.laneHeight + 1, 1, this.laneHeight - 2);
      });
    });
    this.#drawRuler(width, scale);
  }

  #drawRuler(width, scale) {
    const context = sized(this.ruler, width, RULER_HEIGHT);
    const step = TICK_SECONDS.find((one) => one * scale >= TICK_WIDTH) ?? TICK_SECONDS.at(-1);
    context.fillStyle = getComputedStyle(this.element).getPropertyValue("--quiet");
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    for (let tick = 0; tick <= this.duration; tick += step) {
      const x = Math.min(width - 1, Math.round(tick * scale));
      context.fillRect(x, 0, 1, 4);
      if (x + 40 < width) context.fillText(clock(tick, 0), x + 3, 4);
    }
  }

  /** Frames the stretch that the timeline shows. */
  showFrame(first, last) {
    this.frame.style.left = `${(100 * first) / this.duration}%`;
    this.frame.style.width = `${(100 * (last - first)) / this.duration}%`;
  }

  /** Marks where the recording plays. */
  showTime(seconds) {
    this.playhead.style.left = `${(100 * seconds) / this.duration}%`;
  }

  /** Says below the strip which segment the pointer means: the nearest one. */
  #nameMark({ clientX, clientY }) {
    const { left, top, width } = this.strip.getBoundingClientRect();
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
    const { left, width } = this.strip.getBoundingClientRect();
    return Math.min(1, Math.max(0, (clientX - left) / width)) * this.duration;
  }

  #ordered(one, other) {
    return [Math.min(one, other), Math.max(one, other)];
  }
}

/** Makes a canvas as large as this in CSS pixels, and gives its context. */
function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

/** Which share of each pixel some segments cover. scale: pixels per second. */
function coverage(segments, scale, width) {
  const shares = new Float32Array(width);
  for (const { start, end } of segments) {
    const first = Math.min(start * scale, width - MIN_BAR);
    const last = Math.min(Math.max(end * scale, first + MIN_BAR), width);
    const seconds = (end - start) * scale; // in pixels
    const short = Math.min(1, seconds / MIN_BAR); // of a segment that is drawn longer than it is
    for (let x = Math.floor(first); x < last; x++) shares[x] += short * (Math.min(last, x + 1) - Math.max(first, x));
  }
  return shares;
}
