// The log-mel with the segments under it, scrolled as a whole; only what is seen is drawn.
import { inkOn } from "./colours.js";
import { frequencyMarks, painted } from "./spectrogram.js";
import { clock, make, percent, readable } from "./words.js";

const LANES = 12; // labels at most
const HEIGHT = 200; // of the log-mel, CSS pixels
const RULER = 22;
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const FINEST = 400; // pixels a second at most
const FIRST = 30; // seconds that a long recording shows at first

export class Timeline {
  /** heard: see server.js. colours: of its labels. hear(segment), seek(seconds): what a click does. */
  constructor(heard, colours, { hear, seek }) {
    this.heard = heard;
    this.hear = hear;
    this.colours = colours;
    this.picture = heard.log_mel ? painted(heard.log_mel) : null;
    this.canvas = make("canvas", { "aria-hidden": "true", class: "log-mel" });
    this.playhead = make("div", { class: "playhead", "aria-hidden": "true" });
    // Those with the most time, in the order in which they are first heard.
    const labels = new Set(heard.segments.map((one) => one.label));
    const longest = new Set([...colours.keys()].filter((label) => labels.has(label)).slice(0, LANES));
    this.lanes = [...labels].filter((label) => longest.has(label)).map((label) => this.#lane(label));
    const left = labels.size - this.lanes.length;
    this.inner = make("div", { class: "inner" }, this.canvas, ...this.lanes.map((lane) => lane.row), this.playhead);
    this.element = make(
      "div",
      { class: "timeline", tabindex: "0", role: "region", "aria-label": "Timeline: scrolls sideways; the table below has all of it" },
      this.inner,
    );
    this.more = left > 0 ? make("p", { class: "quiet" }, `and ${left} more sounds, heard for less time: see the table`) : null;
    this.element.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.canvas.addEventListener("click", (event) => seek(this.#timeAt(event.clientX)));
    this.observer = new ResizeObserver(() => this.#resized());
    this.observer.observe(this.element);
  }

  close() {
    this.observer.disconnect();
  }

  /** factor: above 1 shows less time, in more detail; 0 shows all of it. */
  zoom(factor, around) {
    const width = this.element.clientWidth;
    const time = around ?? (this.element.scrollLeft + width / 2) / this.scale;
    const least = width / this.heard.duration;
    this.scale = factor ? Math.min(Math.max(this.scale * factor, least), Math.max(FINEST, least)) : least;
    this.#sized();
    this.element.scrollLeft = time * this.scale - width / 2;
    this.#draw();
  }

  /** Moves the playhead; follow keeps it in view. */
  at(seconds, follow) {
    const x = seconds * this.scale;
    this.playhead.style.transform = `translateX(${x}px)`;
    const { scrollLeft, clientWidth } = this.element;
    if (follow && (x < scrollLeft || x > scrollLeft + 0.6 * clientWidth)) {
      // Once it is past the middle the recording moves under it; a jump brings it back to the left.
      const near = x > scrollLeft && x < scrollLeft + 0.7 * clientWidth;
      this.element.scrollLeft = x - (near ? 0.6 : 0.2) * clientWidth;
    }
  }

  #lane(label) {
    const colour = this.colours.get(label);
    const bars = make("div", { class: "bars" });
    const row = make("div", { class: "lane", "aria-hidden": "true" }, make("span", { class: "name" }, readable(label)), bars);
    return { row, bars, colour, segments: this.heard.segments.filter((one) => one.label === label), drawn: new Map() };
  }

  #timeAt(clientX) {
    return (clientX - this.inner.getBoundingClientRect().left) / this.scale;
  }

  #resized() {
    const width = this.element.clientWidth;
    if (!width) return;
    const least = width / this.heard.duration;
    this.scale = Math.max(this.scale ?? (this.heard.duration > 2 * FIRST ? width / FIRST : least), least);
    this.#sized();
    this.#draw();
  }

  #sized() {
    this.inner.style.width = `${this.scale * this.heard.duration}px`;
    for (const lane of this.lanes) {
      lane.drawn.forEach((bar) => bar.remove());
      lane.drawn.clear();
    }
  }

  #draw() {
    const width = this.element.clientWidth;
    if (!width || !this.scale) return;
    const [first, last] = [this.element.scrollLeft / this.scale, (this.element.scrollLeft + width) / this.scale];
    this.#drawPicture(width, first, last);
    for (const lane of this.lanes) this.#drawBars(lane, first - 2, last + 2);
  }

  #drawPicture(width, first, last) {
    const sharp = devicePixelRatio || 1;
    const canvas = this.canvas;
    if (canvas.width !== Math.round(width * sharp)) {
      canvas.width = Math.round(width * sharp);
      canvas.height = (HEIGHT + RULER) * sharp;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${HEIGHT + RULER}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.clearRect(0, 0, width, HEIGHT + RULER);
    context.fillStyle = "#000004";
    context.fillRect(0, 0, width, HEIGHT);
    if (this.picture) {
      const columns = this.picture.width / this.heard.duration; // a second
      const [left, wide] = [first * columns, (last - first) * columns];
      context.drawImage(this.picture, left, 0, wide, this.picture.height, 0, 0, width, HEIGHT);
      frequencyMarks(context, HEIGHT, this.heard.log_mel);
    }
    this.#drawRuler(context, first, last);
  }

  #drawRuler(context, first, last) {
    const step = TICKS.find((one) => one * this.scale >= 64) ?? 3600;
    context.fillStyle = getComputedStyle(this.element).getPropertyValue("--quiet");
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    for (let tick = Math.ceil(first / step); tick * step <= last; tick++) {
      const x = (tick * step - first) * this.scale;
      context.fillRect(Math.round(x), HEIGHT, 1, 5);
      context.fillText(clock(tick * step, step < 1 ? 1 : 0), x + 4, HEIGHT + 6);
    }
  }

  #drawBars(lane, first, last) {
    const seen = new Set(lane.segments.filter((one) => one.end > first && one.start < last));
    for (const [segment, bar] of lane.drawn) {
      if (!seen.has(segment)) {
        bar.remove();
        lane.drawn.delete(segment);
      }
    }
    for (const segment of seen) {
      if (lane.drawn.has(segment)) continue;
      const width = Math.max(3, (segment.end - segment.start) * this.scale);
      const text = percent(segment.score);
      const bar = make(
        "button",
        {
          type: "button",
          tabindex: "-1", // the table has the same for keyboards and screen readers
          class: "bar",
          title: `${readable(segment.label)} ${text}, ${clock(segment.start)} to ${clock(segment.end)}`,
          style: { left: `${segment.start * this.scale}px`, width: `${width}px`, background: lane.colour, color: inkOn(lane.colour) },
          onclick: () => this.hear(segment),
        },
        width > 44 ? text : "",
      );
      lane.bars.append(bar);
      lane.drawn.set(segment, bar);
    }
  }
}
