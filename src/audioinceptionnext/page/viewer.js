// One recording's Result (see server.js): player, timeline, scores of the whole recording, and a table of segments.
import { colourOf, coloursOf } from "./colours.js";
import { Player } from "./player.js";
import { SegmentTable } from "./segments.js";
import { clock, languageOf, make, percent, readable } from "./text.js";
import { Timeline } from "./timeline.js";

export class Viewer {
  /** url: of the recording, or null if it cannot be played. video: whether it has pictures. */
  constructor(result, url, video = false) {
    this.result = result;
    this.colours = coloursOf(result); // a label keeps its colour, whatever else is shown
    const media = url ? make(video ? "video" : "audio", { src: url, preload: "metadata", playsinline: true }) : null;
    // A file may have the type of a video and hold no pictures.
    media?.addEventListener("loadedmetadata", () => (media.hidden = video && !media.videoHeight));
    this.player = new Player(media, () => this.#update());
    this.pick = (segment) => this.play(segment);
    this.timeline = new Timeline(result, this.colours, { pick: (segment) => this.pick(segment), seek: (seconds) => this.player.seek(seconds) });
    this.table = new SegmentTable((segment) => this.play(segment));
    this.table.edit(null);
    this.button = make("button", { type: "button", class: "play primary", onclick: () => this.player.toggle() }, "Play");
    this.time = make("span", { class: "time" });
    this.unplayable = make("p", { class: "quiet", hidden: true }, "This browser cannot play the recording. The timeline is complete nevertheless.");
    const zoom = (factor, text, title) =>
      make("button", { type: "button", title, "aria-label": title, onclick: () => this.timeline.zoom(factor, this.#centre()) }, text);
    this.transport = make(
      "div",
      { class: "transport" },
      this.button,
      this.time,
      make("span", { class: "zoom" }, zoom(1 / 1.6, "−", "Zoom out"), zoom(1.6, "+", "Zoom in"), zoom(0, "All", "Show the whole recording")),
    );
    const { overview, element, more } = this.timeline;
    this.beside = make("div", { class: "beside" });
    this.element = make("div", { class: "viewer" }, media, this.transport, this.unplayable, overview.element, overview.caption, element, more, this.beside);
    [this.onShow, this.onClose] = [() => {}, () => {}]; // see editor.js
    this.#showTables(result);
    this.#update();
  }

  play({ start, end }) {
    this.player.playSegment(start, end);
  }

  /** Shows another Result of the same recording, such as one with fewer labels; playback goes on. heir: see segments.js. */
  show(result, heir = null) {
    for (const { label } of result.segments) if (!this.colours.has(label)) this.colours.set(label, colourOf(label, [...this.colours.keys()]));
    this.timeline.showSegments(result.segments, this.colours);
    this.#showTables(result, heir);
    this.onShow();
  }

  #showTables(result, heir = null) {
    this.shown = result;
    const without = result.segments.length < this.result.segments.length;
    const reason = without ? "the chosen sounds do not occur" : "the model recognised no sound with enough confidence";
    this.table.show(result.segments, result.edited ? "No segments." : `No segments: ${reason}.`, heir);
    const scores = overallScores(result);
    if (this.scores) this.scores.replaceWith(scores);
    else this.beside.append(this.table.element, scores);
    this.scores = scores;
  }

  close() {
    this.onClose();
    this.player.close();
    this.timeline.close();
    cancelAnimationFrame(this.frame);
  }

  /** Handles a key of the whole page. Returns whether it has a meaning. */
  key(name) {
    const actions = {
      " ": () => this.player.toggle(),
      ArrowLeft: () => this.player.seek(this.player.time - 2),
      ArrowRight: () => this.player.seek(this.player.time + 2),
      "+": () => this.timeline.zoom(1.6, this.#centre()),
      "-": () => this.timeline.zoom(1 / 1.6, this.#centre()),
    };
    actions[name]?.();
    return name in actions;
  }

  /** The time to zoom around: where the recording plays; undefined stands for the middle of what is shown. */
  #centre() {
    return this.player.playing ? this.player.time : undefined;
  }

  #update() {
    const { playing, usable } = this.player;
    this.button.textContent = playing ? "Pause" : "Play";
    this.button.disabled = !usable;
    this.unplayable.hidden = usable || !this.player.media;
    cancelAnimationFrame(this.frame);
    this.#showTime();
  }

  #showTime() {
    this.player.checkEnd();
    const { time, playing } = this.player;
    this.time.textContent = `${clock(time)} / ${clock(this.result.duration)}`;
    this.timeline.showTime(time, playing);
    if (playing) this.frame = requestAnimationFrame(() => this.#showTime());
  }
}

function overallScores(result) {
  const likely = result.clip.filter(({ score }) => Math.round(100 * score) > 0);
  const bars = likely.map((one) => scoreBar(one.label, one.score, colourOf(one.label)));
  const note = likely.length
    ? make("p", { class: "quiet" }, "The mean probabilities over the whole recording without digital silence: low for short sounds. A segment’s score is the mean over the segment.")
    : make("p", {}, result.clip.some(({ score }) => score > 0) ? "No sound stands out." : "Silence.");
  return make("section", { "aria-label": "Whole recording" }, make("h3", {}, "Whole recording"), ...bars, note);
}

/** A label with its score as a bar. */
export function scoreBar(label, score, colour) {
  const fill = make("div", { class: "fill", style: { width: `${100 * score}%`, background: colour } });
  return make(
    "div",
    { class: "score" },
    make("span", { class: "name", lang: languageOf(label) }, readable(label)),
    make("span", { class: "value" }, percent(score)),
    make("div", { class: "track", "aria-hidden": "true" }, fill),
  );
}
