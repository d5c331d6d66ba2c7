// Draws the log-mel, and below it a lane of segments for each label that occurs in view. Only what is in view is drawn.
import { inkOn } from "./colours.js";
import { Overview } from "./overview.js";
import { drawFrequencyMarks, paint } from "./spectrogram.js";
import { clock, describe, make, readable, scoreOf } from "./text.js";

const MANY_LABELS = 8; // of more, those with the most time come first
const MANY_LANES = 12; // more than that are drawn lower
const MAX_LANES = 20; // in view and in the overview, until all are requested: those with the most time
const HEIGHT = 200; // of the log-mel, CSS pixels
const RULER_HEIGHT = 22;
const TICK_SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const MAX_SCALE = 400; // pixels per second
const INITIAL_SECONDS = 30; // of a long recording that are shown at first

export class Timeline {
  /** result: see server.js. colours: see colours.js. pick(segment), seek(seconds): called by clicks. */
  constructor(result, colours, { pick, seek }) {
    this.result = result;
    this.pick = pick;
    this.order = []; // of labels, which keep their places when segments are edited
    this.selected = null; // a segment
    this.all = false; // whether all lanes are drawn, however many
    this.picture = result.log_mel ? paint(result.log_mel) : null;
    this.canvas = make("canvas", { "aria-hidden": "true", class: "log-mel" });
    this.playhead = make("div", { class: "playhead", "aria-hidden": "true" });
    this.overview = new Overview(result.duration, {
      show: (first, last) => this.#show(first, last),
      centre: (time) => this.#show(time - this.#span() / 2, time + this.#span() / 2),
    });
    this.inner = make("div", { class: "inner" }, this.canvas, this.playhead);
    this.more = make("button", { type: "button", class: "more", hidden: true, onclick: () => this.#showAll() });
    this.element = make(
      "div",
      { class: "timeline", tabindex: "0", role: "region", "aria-label": "Timeline, which scrolls sideways; the table below lists all segments" },
      this.inner,
    );
    this.element.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.element.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey) return; // which pinching a trackpad sets, too
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY / 100), this.timeAt(event.clientX));
      },
      { passive: false },
    );
    this.canvas.addEventListener("click", (event) => seek(this.timeAt(event.clientX)));
    this.observer = new ResizeObserver(() => this.#resize());
    this.lanes = [];
    this.showSegments(result.segments, colours);
    this.observer.observe(this.element);
  }

  /** Draws these segments instead. The zoom stays, and what is in view. */
  showSegments(segments, colours) {
    this.lanes.forEach(({ row }) => row.remove());
    // In the order in which the labels first occur, or of many, the ones with the most time first.
    const labels = [...new Set(segments.map((one) => one.label))];
    this.ranking = [...colours.keys()].filter((label) => labels.includes(label));
    const first = labels.length > MANY_LABELS ? this.ranking : labels;
    this.order.push(...first.filter((label) => !this.order.includes(label)));
    const order = this.order.filter((label) => labels.includes(label));
    this.lanes = order.map((label) => this.#lane(label, segments, colours.get(label)));
    this.playhead.before(...this.lanes.map(({ row }) => row));
    this.#update();
  }

  /** Marks the bar of a segment, and no other. */
  select(segment) {
    this.selected = segment;
    for (const { bars } of this.lanes) for (const [one, bar] of bars) bar.classList.toggle("selected", one === segment);
  }

  /** Scrolls a stretch into view, unless it is there already. */
  reveal(start, end) {
    const [first, span] = [this.element.scrollLeft / this.scale, this.#span()];
    if (end < first || start > first + span || (end - start < span && (start < first || end > first + span))) {
      this.element.scrollLeft = ((start + Math.min(end, start + span)) / 2 - span / 2) * this.scale;
    }
  }

  #showAll() {
    this.all = true;
    this.#update();
    this.element.focus(); // the button is gone
  }

  #update() {
    this.inner.style.minHeight = "";
    this.overview.element.hidden = this.overview.caption.hidden = !this.#isLong() || !this.lanes.length;
    this.overview.show(this.#foremost(this.lanes));
    this.#draw();
  }

  /** As many of these lanes as are shown at once. */
  #foremost(lanes) {
    if (this.all || lanes.length <= MAX_LANES) return lanes;
    const labels = new Set(lanes.map(({ label }) => label));
    const foremost = new Set(this.ranking.filter((label) => labels.has(label)).slice(0, MAX_LANES));
    return lanes.filter(({ label }) => foremost.has(label));
  }

  close() {
    this.observer.disconnect();
  }

  /** factor: above 1 shows less time in more detail; 0 shows the whole recording. */
  zoom(factor, around) {
    const width = this.element.clientWidth;
    const centre = (this.element.scrollLeft + width / 2) / this.scale;
    const time = around ?? centre;
    const span = factor ? this.#span() / factor : this.result.duration;
    const before = factor && around != null ? (time * this.scale - this.element.scrollLeft) / width : 0.5; // stays where it is
    this.#show(time - before * span, time + (1 - before) * span);
  }

  /** Shows the stretch between two times, or as much around it as the scale allows. */
  #show(first, last) {
    const width = this.element.clientWidth;
    const minScale = width / this.result.duration;
    this.scale = Math.min(Math.max(width / (last - first), minScale), Math.max(MAX_SCALE, minScale));
    this.#applyScale();
    this.element.scrollLeft = ((first + last) / 2) * this.scale - width / 2;
    this.#draw();
  }

  /** The seconds in view. */
  #span() {
    return this.element.clientWidth / this.scale;
  }

  #isLong() {
    return this.result.duration > 2 * INITIAL_SECONDS;
  }

  /** Moves the playhead, and if `follow` is true, scrolls so that it stays in view. */
  showTime(seconds, follow) {
    const x = seconds * this.scale;
    this.playhead.style.transform = `translateX(${x}px)`;
    this.overview.showTime(seconds);
    const { scrollLeft, clientWidth } = this.element;
    if (follow && (x < scrollLeft || x > scrollLeft + 0.6 * clientWidth)) {
      // Past the middle, the recording moves below the playhead. After a jump the playhead is on the left again.
      const near = x > scrollLeft && x < scrollLeft + 0.7 * clientWidth;
      this.element.scrollLeft = x - (near ? 0.6 : 0.2) * clientWidth;
    }
  }

  #lane(label, segments, colour) {
    const track = make("div", { class: "bars" });
    const row = make("div", { class: "lane", "aria-hidden": "true" }, make("span", { class: "name" }, readable(label)), track);
    const lane = { label, row, track, colour, segments: segments.filter((one) => one.label === label), bars: new Map() };
    track.lane = lane;
    return lane;
  }

  /** The time at a place of the screen. */
  timeAt(clientX) {
    return (clientX - this.inner.getBoundingClientRect().left) / this.scale;
  }

  #resize() {
    const width = this.element.clientWidth;
    if (!width || width === this.width) return; // lanes that come into view change the height only
    this.width = width;
    const { duration } = this.result;
    const minScale = width / duration;
    this.scale = Math.max(this.scale ?? (this.#isLong() ? width / INITIAL_SECONDS : minScale), minScale);
    this.overview.draw();
    this.#applyScale();
    this.#draw();
  }

  #applyScale() {
    this.inner.style.width = `${this.scale * this.result.duration}px`;
    for (const lane of this.lanes) {
      lane.bars.forEach((bar) => bar.remove());
      lane.bars.clear();
    }
    this.inner.style.minHeight = "";
  }

  #draw() {
    const width = this.element.clientWidth;
    if (!width || !this.scale) return;
    const [first, last] = [this.element.scrollLeft / this.scale, (this.element.scrollLeft + width) / this.scale];
    this.overview.showFrame(first, Math.min(last, this.result.duration));
    this.#drawLogMel(width, first, last);
    const inView = this.lanes.filter(({ segments }) => segments.some((one) => one.end > first && one.start < last));
    const shown = this.#foremost(inView);
    this.more.hidden = shown.length === inView.length;
    this.more.textContent = `Show all ${inView.length} sounds`;
    this.element.classList.toggle("many", shown.length > MANY_LANES);
    for (const lane of this.lanes) {
      lane.row.hidden = !shown.includes(lane);
      if (!lane.row.hidden) this.#drawBars(lane, first - 2, last + 2);
    }
    // What is below must not move up and down while the recording plays: the height shrinks with the next zoom only.
    this.inner.style.minHeight = `${this.inner.offsetHeight}px`;
  }

  #drawLogMel(width, first, last) {
    const ratio = devicePixelRatio || 1;
    const canvas = this.canvas;
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = (HEIGHT + RULER_HEIGHT) * ratio;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${HEIGHT + RULER_HEIGHT}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT + RULER_HEIGHT);
    context.fillStyle = "#000004";
    context.fillRect(0, 0, width, HEIGHT);
    if (this.picture) {
      const columnsPerSecond = this.picture.width / this.result.duration;
      const [left, columns] = [first * columnsPerSecond, (last - first) * columnsPerSecond];
      context.drawImage(this.picture, left, 0, columns, this.picture.height, 0, 0, width, HEIGHT);
      drawFrequencyMarks(context, HEIGHT, this.result.log_mel);
    }
    this.#drawRuler(context, first, last);
  }

  #drawRuler(context, first, last) {
    const step = TICK_SECONDS.find((one) => one * this.scale >= 64) ?? 3600;
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
    const inView = new Set(lane.segments.filter((one) => one.end > first && one.start < last));
    for (const [segment, bar] of lane.bars) {
      if (!inView.has(segment)) {
        bar.remove();
        lane.bars.delete(segment);
      }
    }
    for (const segment of inView) {
      if (lane.bars.has(segment)) continue;
      const width = Math.max(3, (segment.end - segment.start) * this.scale);
      const bar = make(
        "button",
        {
          type: "button",
          tabindex: "-1", // keyboards and screen readers use the table
          class: "bar",
          title: describe(segment),
          style: { left: `${segment.start * this.scale}px`, width: `${width}px`, background: lane.colour, color: inkOn(lane.colour) },
          onclick: () => this.pick(segment),
        },
        width > 44 ? scoreOf(segment) : "",
      );
      bar.segment = segment;
      bar.classList.toggle("selected", segment === this.selected);
      lane.track.append(bar);
      lane.bars.set(segment, bar);
    }
  }
}
