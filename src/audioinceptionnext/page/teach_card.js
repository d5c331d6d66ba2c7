// One sound that is being taught: its name, its examples, and how more of them are recorded or added.
import { filesIn } from "./files.js";
import { clock, make, number } from "./text.js";
import { decodeFile, Recorder, wavOf } from "./teach_input.js";
import { examplesIn, isClipped, outline, pieces, refusalOf } from "./teach_sound.js";
import { newId } from "./teach_store.js";

const ENOUGH = 5; // examples of a sound
const ENOUGH_NOTHING_S = 60; // of what is none of the sounds
const MOST_S = 60; // of a recording of a sound, and of a file
const MOST_NOTHING_S = 600; // of a recording of nothing, and of a file
const WINDOW_S = 2.4; // what the default model sees at a time
const BARS = 36; // in the picture of an example
const METER_DB = 60; // from the left end of the level meter to its right end

const ABOUT_NOTHING =
  "What the microphone records when none of your sounds occurs: the room, voices, music, traffic. It keeps false alarms rare.";
const HOW_TO_RECORD = "Make the sound as often as you like, with a pause of two seconds in between: each becomes an example.";

export class Card {
  /**
   * @param {{id: string, name: string, nothing: boolean}} sound
   * @param {object[]} examples of it, as `add` of the workshop returns them
   * @param {object} workshop what the card is part of: {recordSeconds, add(sound, blob, details), delete(example),
   *   rename(sound, name), remove(sound), nameProblem(sound), changed(), busy}
   */
  constructor(sound, examples, workshop) {
    Object.assign(this, { sound, examples, workshop, recorder: null });
    this.title = sound.nothing ? make("h3", { class: "teach-name" }, sound.name) : this.#nameInput();
    this.nameProblem = make("p", { class: "teach-problem", id: `problem-${sound.id}`, hidden: true });
    this.count = make("p", { class: "teach-count" });
    this.list = make("ul", { class: "examples" });
    this.problems = make("div", { class: "teach-problems", role: "alert" });
    const dot = make("span", { class: "record-dot", "aria-hidden": "true" });
    this.record = make("button", { type: "button", onclick: () => this.#record() }, dot, "Record");
    const input = make("input", { type: "file", multiple: true, hidden: true, accept: "audio/*,video/*,.flac,.opus,.mka,.mkv,.aiff,.wv" });
    input.onchange = () => {
      const files = [...input.files];
      input.value = ""; // so that the same file can be chosen again
      this.addFiles(files);
    };
    this.choose = make("button", { type: "button", onclick: () => input.click() }, "Add files");
    this.actions = make("div", { class: "teach-actions" }, this.record, this.choose, input);
    this.working = make("div", { class: "teach-working", role: "status", hidden: true });
    const remove = sound.nothing
      ? null
      : make("button", { type: "button", class: "icon", title: "Remove this sound", onclick: () => workshop.remove(sound) }, "×");
    this.removeButton = remove;
    this.element = make(
      "section",
      { class: `teach-card${sound.nothing ? " nothing" : ""}` },
      make("div", { class: "teach-head" }, this.title, remove),
      this.nameProblem,
      sound.nothing ? make("p", { class: "quiet" }, ABOUT_NOTHING) : null,
      this.count,
      this.actions,
      this.working,
      this.problems,
      this.list,
    );
    this.#takeDrops();
    this.show();
  }

  #nameInput() {
    const { sound, workshop } = this;
    const input = make("input", {
      class: "teach-name",
      type: "text",
      value: sound.name,
      maxlength: 100,
      placeholder: "Name of the sound",
      "aria-label": "Name of the sound",
      "aria-describedby": `problem-${sound.id}`,
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => workshop.rename(sound, input.value),
      onkeydown: (event) => event.key === "Enter" && this.record.focus(),
    });
    return input;
  }

  /** How many examples there are, and what is still wanted of them. */
  show() {
    const { examples } = this;
    this.count.replaceChildren(...this.#counted());
    this.list.replaceChildren(...examples.map((one) => this.#tile(one)));
    this.list.hidden = !examples.length;
    this.showName();
  }

  /** Names the controls after the sound, and says what is wrong with its name. */
  showName() {
    const name = this.sound.name.trim() || "this sound";
    this.element.setAttribute("aria-label", this.sound.name.trim() || "A new sound");
    this.removeButton?.setAttribute("aria-label", `Remove ${name}`);
    this.record.setAttribute("aria-label", `Record ${name}`);
    this.choose.setAttribute("aria-label", `Add files of ${name}`);
    for (const [index, tile] of [...this.list.children].entries()) {
      const [play, remove] = tile.children;
      play.setAttribute("aria-label", `Play example ${index + 1} of ${name}, ${this.examples[index].seconds.toFixed(1)} s`);
      remove.setAttribute("aria-label", `Delete example ${index + 1} of ${name}`);
    }
    const problem = this.sound.nothing ? null : this.workshop.nameProblem(this.sound);
    this.nameProblem.textContent = problem ?? "";
    this.nameProblem.hidden = !problem;
    this.title.setAttribute("aria-invalid", problem ? "true" : "false");
  }

  /** Whether there are as many examples as it takes. */
  get enough() {
    return this.#share >= 1;
  }

  /** What is still wanted of it, in words; null if nothing is. */
  get wanted() {
    if (this.enough) return null;
    const missing = ENOUGH - this.examples.length;
    return `${missing} more ${missing === 1 ? "example" : "examples"} of ${this.sound.name.trim() || "a sound"}`;
  }

  get seconds() {
    return this.examples.reduce((sum, one) => sum + one.seconds, 0);
  }

  get #share() {
    return this.sound.nothing ? this.seconds / ENOUGH_NOTHING_S : this.examples.length / ENOUGH;
  }

  #counted() {
    const { sound, examples, enough } = this;
    const fill = make("span", { class: `fill${enough ? " full" : ""}`, style: { width: `${100 * Math.min(1, this.#share)}%` } });
    const bar = make("span", { class: "teach-bar", "aria-hidden": "true" }, fill);
    let text = `${number(examples.length)} ${examples.length === 1 ? "example" : "examples"}`;
    if (sound.nothing) text = enough ? `${clock(this.seconds, 0)} in all` : `${clock(this.seconds, 0)} of at least ${clock(ENOUGH_NOTHING_S, 0)}`;
    else if (!enough) text = `${examples.length} of at least ${ENOUGH} examples`;
    return [bar, make("span", {}, text)];
  }

  #tile(example) {
    const time = make("span", { class: "tile-time" }, example.clipped ? make("b", {}, "clipped") : `${example.seconds.toFixed(1)} s`);
    const toggle = () => this.workshop.play(example, play);
    const play = make("button", { type: "button", class: "tile", title: example.name, onclick: toggle }, picture(example.outline), time);
    const remove = make("button", { type: "button", class: "icon tile-delete", title: "Delete", onclick: () => this.#delete(example) }, "×");
    return make("li", { class: example.clipped ? "clipped" : "" }, play, remove);
  }

  async #delete(example) {
    const index = this.examples.indexOf(example);
    await this.workshop.delete(example);
    const rest = this.list.querySelectorAll(".tile-delete");
    (rest[Math.min(index, rest.length - 1)] ?? this.record).focus();
  }

  /** Shows lines on what could not be added. */
  complain(lines) {
    this.problems.append(...lines.map((line) => make("p", { class: "teach-problem" }, line)));
  }

  async #record() {
    if (this.workshop.busy) return;
    this.problems.replaceChildren();
    const { sound, workshop } = this;
    const fixed = sound.nothing ? null : workshop.recordSeconds; // null: until it is stopped
    const most = fixed ?? (sound.nothing ? MOST_NOTHING_S : MOST_S);
    const time = make("span", { class: "time" }, clock(0));
    const meter = make("span", { class: "meter-fill" });
    const recorder = (this.recorder = new Recorder(most, ({ seconds, peak }) => {
      time.textContent = fixed ? `${clock(seconds)} of ${fixed} s` : clock(seconds);
      const level = Math.max(0, 1 + (20 * Math.log10(Math.max(peak, 1e-6))) / METER_DB);
      meter.style.width = `${100 * Math.min(1, level)}%`;
      meter.classList.toggle("over", peak >= 0.98);
    }));
    const stop = make("button", { type: "button", class: "primary", onclick: () => recorder.stop() }, "Stop");
    const hint = sound.nothing || fixed ? null : make("p", { class: "quiet" }, HOW_TO_RECORD);
    const dot = make("span", { class: "dot", "aria-hidden": "true" });
    this.#busy(make("div", { class: "teach-recording" }, stop, dot, time, make("span", { class: "meter", "aria-hidden": "true" }, meter)), hint);
    stop.focus();
    try {
      await recorder.start();
      const { waveform, rate, warning } = await recorder.result();
      this.#busy(make("p", { class: "quiet" }, "Adding …"));
      const found = await this.#addRecording(waveform, rate, fixed);
      if (warning) this.complain([`Warning: ${warning}.`]);
      if (found) workshop.say(`${found} ${found === 1 ? "example" : "examples"} recorded.`);
    } catch (error) {
      recorder.stop();
      this.complain([error.message]);
    } finally {
      this.recorder = null;
      this.#idle();
      this.record.focus();
    }
  }

  /** Ends a recording that is going on. */
  stop() {
    this.recorder?.stop();
  }

  async #addRecording(waveform, rate, fixed) {
    const refusal = refusalOf(waveform, rate);
    if (refusal) return void this.complain([`The recording ${refusal}.`]);
    let parts = [[0, waveform.length]];
    if (this.sound.nothing) parts = pieces(0, waveform.length, rate);
    else if (!fixed) parts = examplesIn(waveform, rate, WINDOW_S);
    const source = newId(); // what was recorded in one go stays together when accuracy is measured
    let added = 0;
    for (const [from, to] of parts) {
      const part = waveform.slice(from, to);
      if (refusalOf(part, rate)) continue; // a silent piece of nothing teaches nothing
      const details = { name: `recorded ${new Date().toLocaleTimeString("en-GB")}`, source, ...described(part, rate) };
      if (await this.#add(wavOf(part, rate), details)) added++;
    }
    return added;
  }

  /** Adds files as examples, one each; of nothing, they are cut into pieces. Each one that cannot be added gets a line. */
  async addFiles(files) {
    if (this.workshop.busy || !files.length) return;
    this.problems.replaceChildren();
    const bar = make("progress", { max: files.length, value: 0, "aria-label": "Files added" });
    const text = make("span", { class: "quiet" });
    const cancel = make("button", { type: "button", onclick: () => (cancelled = true) }, "Cancel");
    let [cancelled, added] = [false, 0];
    this.#busy(make("div", { class: "teach-recording" }, bar, text, cancel));
    for (const [index, file] of files.entries()) {
      if (cancelled) break;
      bar.value = index;
      text.textContent = `${index + 1} of ${files.length}`;
      try {
        added += await this.#addFile(file);
      } catch (error) {
        this.complain([error.message]);
      }
    }
    this.#idle();
    const rest = cancelled || this.sound.nothing ? 0 : files.length - added;
    const count = `${added} ${added === 1 ? "example" : "examples"} added`;
    this.workshop.say(`${cancelled ? "Cancelled: " : ""}${count}${rest > 0 ? `, ${rest} not` : ""}.`);
  }

  async #addFile(file) {
    const decoded = await decodeFile(file);
    const { name } = file;
    if (!decoded) return (await this.#add(file, { name, source: newId(), seconds: null, outline: null, clipped: false })) ? 1 : 0;
    const { waveform, rate } = decoded;
    const refusal = refusalOf(waveform, rate);
    if (refusal) throw new Error(`${name}: ${refusal}.`);
    const most = this.sound.nothing ? MOST_NOTHING_S : MOST_S;
    const seconds = waveform.length / rate;
    if (seconds > most) throw new Error(`${name}: is ${clock(seconds, 0)} long; give at most ${clock(most, 0)}: cut out the sound.`);
    if (this.sound.nothing) return this.#addRecording(waveform, rate, null);
    return (await this.#add(file, { name, source: newId(), ...described(waveform, rate) })) ? 1 : 0;
  }

  /** Whether it was added; a line says why if it was not. */
  async #add(blob, details) {
    try {
      this.examples.push(await this.workshop.add(this.sound, blob, details));
      if (details.clipped) this.complain([`${details.name}: clipped, since it was too loud for the microphone; record it again from further away.`]);
      this.show();
      this.workshop.changed();
      return true;
    } catch (error) {
      this.complain([error.message]);
      return false;
    }
  }

  #busy(...content) {
    this.workshop.busy = true;
    this.actions.hidden = true;
    this.working.replaceChildren(...content.filter(Boolean));
    this.working.hidden = false;
    this.workshop.changed();
  }

  #idle() {
    this.workshop.busy = false;
    this.actions.hidden = false;
    this.working.hidden = true;
    this.workshop.changed();
  }

  #takeDrops() {
    const { element } = this;
    const over = (event, on) => {
      event.preventDefault();
      event.stopPropagation(); // a recording that is dropped elsewhere is recognised
      element.classList.toggle("over", on);
    };
    element.addEventListener("dragover", (event) => over(event, true));
    element.addEventListener("dragleave", (event) => element.contains(event.relatedTarget) || over(event, false));
    element.addEventListener("drop", async (event) => {
      over(event, false);
      const { files, note } = await filesIn(event.dataTransfer);
      await this.addFiles(files);
      if (note) this.complain([note]);
    });
  }
}

function described(waveform, rate) {
  return { seconds: waveform.length / rate, outline: outline(waveform, BARS), clipped: isClipped(waveform) };
}

/** A small picture of levels of 0 to 1. */
function picture(levels) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${BARS * 3} 40`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [index, level] of (levels ?? []).entries()) {
    const height = Math.max(1.5, 36 * level);
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x: index * 3 + 0.5, y: 20 - height / 2, width: 2, height, rx: 1 })) bar.setAttribute(name, value);
    svg.append(bar);
  }
  return svg;
}
