// What was heard in one recording, to look at and to listen to: player, timeline, sounds as a whole, table of segments.
import { coloursOf } from "./colours.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";
import { clock, make, percent, readable } from "./words.js";

const ROWS = 200; // of the table, until one asks for all

export class Viewer {
  /** heard: see server.js. url: of the sound, or null. video: whether it has pictures. */
  constructor(heard, url, video = false) {
    this.heard = heard;
    const media = url ? make(video ? "video" : "audio", { src: url, preload: "metadata", playsinline: true }) : null;
    // A file may be called a video and hold no pictures.
    media?.addEventListener("loadedmetadata", () => (media.hidden = video && !media.videoHeight));
    this.player = new Player(media, () => this.#changed());
    const colours = coloursOf(heard);
    this.timeline = new Timeline(heard, colours, {
      hear: (segment) => this.#hear(segment),
      seek: (seconds) => this.player.seek(seconds),
    });
    this.button = make("button", { type: "button", class: "play primary", onclick: () => this.player.toggle() }, "Play");
    this.time = make("span", { class: "time" });
    this.mute = make("p", { class: "quiet", hidden: true }, "This browser cannot play the recording; its timeline is complete all the same.");
    const zoom = (factor, name, title) =>
      make("button", { type: "button", title, "aria-label": title, onclick: () => this.timeline.zoom(factor, this.#middle()) }, name);
    const transport = make(
      "div",
      { class: "transport" },
      this.button,
      this.time,
      make("span", { class: "zoom" }, zoom(1 / 1.6, "−", "Show more time"), zoom(1.6, "+", "Show less time"), zoom(0, "All", "Show the whole recording")),
    );
    this.element = make("div", { class: "viewer" }, media, transport, this.mute, this.timeline.element, this.timeline.more);
    this.element.append(make("div", { class: "beside" }, table(heard, (segment) => this.#hear(segment)), overall(heard, colours)));
    this.#changed();
  }

  close() {
    this.player.close();
    this.timeline.close();
    cancelAnimationFrame(this.frame);
  }

  /** Keys of the whole page. Returns whether the key meant something. */
  key(name) {
    const keys = {
      " ": () => this.player.toggle(),
      ArrowLeft: () => this.player.seek(this.player.time - 2),
      ArrowRight: () => this.player.seek(this.player.time + 2),
      "+": () => this.timeline.zoom(1.6, this.#middle()),
      "-": () => this.timeline.zoom(1 / 1.6, this.#middle()),
    };
    keys[name]?.();
    return name in keys;
  }

  #middle() {
    return this.player.playing ? this.player.time : undefined;
  }

  #hear(segment) {
    if (this.player.usable) this.player.stretch(segment.start, segment.end);
  }

  #changed() {
    const { playing, usable } = this.player;
    this.button.textContent = playing ? "Pause" : "Play";
    this.button.disabled = !usable;
    this.mute.hidden = usable || !this.player.media;
    cancelAnimationFrame(this.frame);
    this.#step();
  }

  #step() {
    this.player.tick();
    const { time, playing } = this.player;
    this.time.textContent = `${clock(time)} / ${clock(this.heard.duration)}`;
    this.timeline.at(time, playing);
    if (playing) this.frame = requestAnimationFrame(() => this.#step());
  }
}

function overall(heard, colours) {
  const rows = heard.clip.map((one) => bar(one.label, one.score, colours.get(one.label)));
  return make("section", { class: "overall", "aria-label": "Over the whole recording" }, make("h3", {}, "Over the whole recording"), ...rows);
}

/** A label with its share as a bar. */
export function bar(label, score, colour) {
  const fill = make("div", { class: "fill", style: { width: `${100 * score}%`, background: colour } });
  return make(
    "div",
    { class: "share" },
    make("span", { class: "name" }, readable(label)),
    make("span", { class: "value" }, percent(score)),
    make("div", { class: "track", "aria-hidden": "true" }, fill),
  );
}

function table(heard, hear) {
  const { segments } = heard;
  if (!segments.length) return make("p", {}, "No sound that the model knows was sure enough for a segment.");
  const body = make("tbody");
  const show = (first, last) => body.append(...segments.slice(first, last).map((one) => row(one, hear)));
  show(0, ROWS);
  const section = make(
    "section",
    { "aria-label": "Segments" },
    make("h3", {}, segments.length === 1 ? "One segment" : `${segments.length.toLocaleString("en")} segments`),
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...["Hear", "From", "To", "Sound", "Score"].map((name) => make("th", { scope: "col" }, name)))),
      body,
    ),
  );
  if (segments.length > ROWS) {
    const all = make("button", { type: "button" }, `Show all ${segments.length.toLocaleString("en")}`);
    all.addEventListener("click", () => {
      show(ROWS, segments.length);
      all.remove();
    });
    section.append(all);
  }
  return section;
}

function row(segment, hear) {
  const { label, start, end, score } = segment;
  const name = `Play ${readable(label)}, ${clock(start)} to ${clock(end)}`;
  const play = make("button", { type: "button", class: "small", "aria-label": name, onclick: () => hear(segment) }, "▶");
  return make(
    "tr",
    {},
    make("td", {}, play),
    make("td", {}, clock(start)),
    make("td", {}, clock(end)),
    make("th", { scope: "row" }, readable(label)),
    make("td", {}, percent(score)),
  );
}
