// What corrected recordings are good for: a training set, kept by the server or in the user's own folder.
import { FORMATS, save } from "./formats.js";
import { countSegments, make, number } from "./text.js";

const KEPT = "The server keeps the recording with its segments as they are shown, for training.";

export class TrainingSet {
  /**
   * engine: see server.js. file: the recording. shown(): the Result as it is shown. onSaved(): called when it is saved.
   */
  constructor(engine, file, shown, onSaved) {
    Object.assign(this, { engine, file, shown, onSaved });
    this.text = make("p", { class: "quiet", role: "status" });
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    this.server = engine.offers.includes("corrections");
    const title = this.server ? "Save corrections" : "Save the label track";
    this.button = make("button", { type: "button", onclick: () => (this.server ? this.#post() : this.#download()) }, title);
    this.element = make("div", { class: "training" }, this.button, this.text, this.problem);
    if (this.server) this.#ask();
    else this.text.append(besideRecording(file.name), command());
  }

  /** Shows what the server has already. */
  async #ask() {
    this.text.textContent = KEPT;
    try {
      this.#report(await this.engine.corrections());
    } catch {
      // Saving will say what is wrong.
    }
  }

  async #post() {
    this.button.disabled = true;
    this.problem.hidden = true;
    const { segments, model } = this.shown();
    const rows = segments.map(({ start, end, label }) => ({ start, end, label }));
    try {
      const kept = await this.engine.saveCorrections(this.file, rows, model);
      this.onSaved();
      this.#report(kept, `Saved ${countSegments(rows.length)} of ${this.file.name}. `);
    } catch (error) {
      this.problem.textContent = error.message;
      this.problem.hidden = false;
    } finally {
      this.button.disabled = false;
    }
  }

  #report({ recordings, wanted }, before = "") {
    const have = `${number(recordings)} corrected ${recordings === 1 ? "recording" : "recordings"}`;
    const more = wanted > 0 ? `about ${number(wanted)} more make a training set worth using` : "enough for a training set";
    this.text.replaceChildren(before, recordings ? `${have}; ${more}: ` : KEPT, ...(recordings ? [command()] : []));
  }

  #download() {
    const result = this.shown();
    const { text, suffix, type } = FORMATS.audacity;
    save(text(result), result.file.replace(/\.[^.]*$/, "") + suffix, type);
    this.onSaved();
  }
}

function command() {
  return make("span", {}, make("code", {}, "ainext train"), ", whose data set ", make("code", {}, "labels"), " is such a folder.");
}

function besideRecording(name) {
  const track = name.replace(/\.[^.]*$/, "") + FORMATS.audacity.suffix;
  return `Recordings with such label tracks beside them (${track} beside ${name}) are a training set for `;
}
