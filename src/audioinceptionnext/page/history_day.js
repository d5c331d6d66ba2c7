// A day, or an hour of it, as a timeline: a lane of events for each label.
import { minuteOf, timeOf } from "./days.js";
import { languageOf, make, number, percent, readable } from "./text.js";

const MAX_LANES = 15; // until all are requested: those with the most events
const LANE_HEIGHT = 24; // CSS pixels
const MIN_WIDTH = 3; // of the shortest event, CSS pixels
const NEAR = 10; // CSS pixels from an event that still mean it, since fingers are wide
const TICK_SECONDS = [300, 600, 900, 1800, 3600, 7200, 10_800, 21_600];
const TICK_WIDTH = 52; // CSS pixels that the text of a tick takes

export class DayTimeline {
  /** pick(event): called by clicks on events. */
  constructor(pick) {
    this.pick = pick;
    this.ruler = make("canvas", { class: "ruler" });
    this.lanes = make("div", {});
    this.now = make("div", { class: "now-line" });
    this.more = make("button", { type: "button", class: "more", hidden: true, onclick: () => this.#showAll() });
    this.element = make("div", { class: "day", "aria-hidden": "true" }, this.lanes, make("div", { class: "day-lane" }, make("span"), this.ruler));
    this.all = false;
    this.shown = [];
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  /** events: ordered by start. colours: by label. first, last: the stretch, in Unix seconds. chosen: an event, or null. */
  show(events, colours, first, last, chosen) {
    Object.assign(this, { events, colours, first, last, chosen });
    const byLabel = new Map();
    for (const one of events) {
      if (!byLabel.has(one.label)) byLabel.set(one.label, []);
      byLabel.get(one.label).push(one);
    }
    this.ranking = [...byLabel].sort(([, a], [, b]) => b.length - a.length);
    this.#update();
  }

  #showAll() {
    this.all = true;
    this.#update();
  }

  #update() {
    const some = this.all ? this.ranking : this.ranking.slice(0, MAX_LANES);
    const labels = some.map(([label]) => label);
    this.more.hidden = some.length === this.ranking.length;
    this.more.textContent = `Show all ${this.ranking.length} sounds`;
    const names = labels.map(readable).join("\n");
    if (names !== this.names) {
      this.names = names;
      this.shown = labels.map((label) => this.#lane(label));
      this.lanes.replaceChildren(...this.shown.map(({ row }) => row));
    }
    this.shown.forEach((lane, index) => {
      lane.events = some[index][1];
      lane.count.textContent = number(lane.events.length);
    });
    this.#draw();
  }

  #lane(label) {
    const canvas = make("canvas", {});
    const count = make("span", { class: "quiet" });
    const row = make("div", { class: "day-lane" }, make("span", { class: "lane-name", title: readable(label) }, make("span", { lang: languageOf(label) }, readable(label)), count), canvas);
    const lane = { label, row, canvas, count, events: [] };
    canvas.onpointermove = (event) => {
      const found = this.#at(lane, event);
      canvas.title = found ? describeEvent(found) : "";
      canvas.style.cursor = found ? "pointer" : "";
    };
    canvas.onclick = (event) => {
      const found = this.#at(lane, event);
      if (found) this.pick(found);
    };
    return lane;
  }

  /** The event of a lane that the pointer means: the nearest one. */
  #at({ canvas, events }, { clientX }) {
    const { left, width } = canvas.getBoundingClientRect();
    const x = (seconds) => left + ((seconds - this.first) / (this.last - this.first)) * width;
    let [nearest, least] = [null, NEAR];
    for (const one of events) {
      const distance = Math.max(0, x(one.start) - clientX, clientX - Math.max(x(one.end), x(one.start) + MIN_WIDTH));
      if (distance < least) [nearest, least] = [one, distance];
    }
    return nearest;
  }

  #draw() {
    const width = this.ruler.clientWidth;
    if (!width || this.first === undefined) return;
    const style = getComputedStyle(this.element);
    const [quiet, field, ink] = ["--quiet", "--field", "--ink"].map((name) => style.getPropertyValue(name).trim());
    const scale = width / (this.last - this.first);
    const step = TICK_SECONDS.find((one) => one * scale >= TICK_WIDTH) ?? TICK_SECONDS.at(-1);
    const ticks = [];
    for (let time = this.first; time <= this.last; time += step) ticks.push(time);
    for (const { canvas, events, label } of this.shown) {
      const context = prepare(canvas, width, LANE_HEIGHT);
      context.fillStyle = field;
      context.beginPath();
      context.roundRect(0, 0, width, LANE_HEIGHT, 4);
      context.fill();
      context.clip();
      context.fillStyle = quiet;
      context.globalAlpha = 0.25;
      for (const time of ticks.slice(1)) context.fillRect(Math.round((time - this.first) * scale), 0, 1, LANE_HEIGHT);
      context.globalAlpha = 1;
      context.fillStyle = this.colours.get(label);
      for (const one of events) context.fillRect((one.start - this.first) * scale, 2, Math.max(MIN_WIDTH, (one.end - one.start) * scale), LANE_HEIGHT - 4);
      if (this.chosen?.label !== label) continue;
      context.strokeStyle = ink;
      context.lineWidth = 2;
      context.strokeRect((this.chosen.start - this.first) * scale - 2, 1, Math.max(MIN_WIDTH, (this.chosen.end - this.chosen.start) * scale) + 4, LANE_HEIGHT - 2);
    }
    const context = prepare(this.ruler, width, 18);
    context.fillStyle = quiet;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    ticks.forEach((time, index) => {
      const x = (time - this.first) * scale;
      context.textAlign = index === 0 ? "left" : x > width - TICK_WIDTH / 2 ? "right" : "center";
      context.fillText(time === this.last && step >= 3600 ? "24:00" : minuteOf(time), Math.min(x, width), 5);
    });
    const now = Date.now() / 1000;
    if (now < this.first || now > this.last) return;
    context.fillStyle = "#ff4f4f";
    context.beginPath();
    const x = (now - this.first) * scale;
    context.moveTo(x - 4, 0);
    context.lineTo(x + 4, 0);
    context.lineTo(x, 5);
    context.fill();
  }
}

/** The context of a canvas with a size in CSS pixels, without what was drawn before. */
function prepare(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** An event in words: "clean dishes 88 %, 08:15:02 for 3.8 s, kitchen". */
export function describeEvent({ label, score, start, end, source }) {
  return `${readable(label)}${score == null ? "" : ` ${percent(score)}`}, ${timeOf(start)} for ${lengthOf(start, end)}, ${source}`;
}

/** "3.8 s", "2:05 min". */
export function lengthOf(start, end) {
  const seconds = end - start;
  if (seconds < 59.95) return `${seconds.toFixed(1)}\u00a0s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}\u00a0min`;
}
