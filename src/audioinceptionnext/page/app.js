// The page: an engine (a server, or the model in this browser) recognises recordings, and a viewer shows the results.
import { Choice, only } from "./choice.js";
import { Chooser } from "./chooser.js";
import { corrected, correctionsOf } from "./corrections.js";
import { Editor, mayDrop } from "./editor.js";
import { FORMATS, save } from "./formats.js";
import { Live } from "./live.js";
import { Navigation } from "./navigation.js";
import { Teach } from "./teach.js";
import { countSegments, countShown, make, number, readable } from "./text.js";
import { TrainingSet } from "./trainingset.js";
import { Viewer } from "./viewer.js";

const find = (id) => document.getElementById(id);
const MAX_LISTED = 60; // labels; of a model with more, none is listed
const EXAMPLE = new URL("./example.mp3", import.meta.url);

/** engine: an object with the methods of `ServerEngine`. */
export async function start(engine) {
  const page = new Page(engine);
  await page.open();
}

class Page {
  constructor(engine) {
    this.engine = engine;
    this.viewer = null;
    this.live = null;
    this.url = null; // of the recording that the viewer plays
    this.result = null; // with all labels
    this.choice = new Choice(new URLSearchParams(location.search));
    this.navigation = new Navigation(find("views"));
    this.navigation.add("recognise", "Recognise", find("recognise"), () => this.teach?.hide());
    engine.askKey = askKey;
    find("note").textContent = engine.note;
    find("choose").onclick = () => find("file").click();
    find("file").onchange = (event) => this.#predictChosen(event.target);
    find("example").onclick = () => this.#predictExample();
    find("microphone").onclick = () => this.#startLive();
    find("cancel").onclick = () => this.cancelling?.abort();
    find("model").onchange = () => this.#describeModel();
    onDrop((file) => this.predict(file));
    document.addEventListener("keydown", (event) => this.#onKey(event));
  }

  async open() {
    try {
      this.models = await this.engine.models();
    } catch (error) {
      this.#showProblem(error);
      return;
    }
    this.#listModels((one) => one.default);
    if (this.engine.offers.includes("teach")) {
      this.teach = new Teach(this.engine, find("teach"), (name) => this.#useTaught(name));
      this.navigation.add("teach", "Teach", find("teach"), () => this.teach.show(this.models));
    }
    if (this.engine.offers.includes("history")) this.navigation.addPage("History", "./history.html");
  }

  #listModels(isSelected) {
    const options = this.models.map((one) => make("option", { value: one.name, selected: isSelected(one) }, one.name));
    find("model").replaceChildren(...options);
    find("model").disabled = false;
    this.#describeModel();
  }

  /** Shows the first view with a model that has just been taught. */
  async #useTaught(name) {
    this.models = await this.engine.models();
    this.offering = null; // a model of this name may have had other sounds
    this.#listModels((one) => one.name === name);
    location.hash = "";
    find("choose").focus();
  }

  get #model() {
    return this.models.find((one) => one.name === find("model").value);
  }

  #describeModel() {
    const { name, labels } = this.#model;
    const list = labels.length > MAX_LISTED ? "search for them below" : labels.map(readable).join(", ");
    find("labels").textContent = `${name} recognises ${number(labels.length)} sounds: ${list}.`;
    if (!this.result) this.#offerSounds(name); // otherwise the next recording is recognised by this model
  }

  /** Offers the sounds of a model to choose from. */
  #offerSounds(name) {
    if (this.offering === name) return;
    this.offering = name;
    this.choice.setModel(this.models.find((one) => one.name === name));
    this.chooser = new Chooser(this.choice, () => this.#onChoice());
    find("sounds").replaceChildren(this.chooser.element);
    find("sounds").hidden = false;
  }

  /** Shows what has been chosen, in the result or in the live view. */
  #onChoice() {
    history.replaceState(null, "", location.pathname + this.choice.query + location.hash);
    this.live?.show(this.choice.labels);
    if (!this.viewer) return;
    const shown = this.#shown;
    this.viewer.show(shown);
    this.#showStatus(countShown(shown.segments.length, this.result.segments.length));
  }

  get #shown() {
    return only(corrected(this.result), this.choice.labels);
  }

  /** Shows the corrected segments. heir: see segments.js. */
  #onEdit(heir) {
    this.choice.include(correctionsOf(this.result).labels);
    this.chooser.setSegments(corrected(this.result).segments);
    this.viewer.show(this.#shown, heir);
  }

  #predictChosen(input) {
    const [file] = input.files;
    input.value = ""; // so that the same file can be chosen again
    if (file) this.predict(file);
  }

  async #predictExample() {
    const response = await fetch(EXAMPLE);
    if (response.ok) this.predict(new File([await response.blob()], "everyday-scene.mp3", { type: "audio/mpeg" }));
    else this.#showProblem(new Error("The example cannot be loaded."));
  }

  async predict(file) {
    if (this.cancelling || this.live || !mayDrop(this.result)) return;
    this.#clear();
    this.cancelling = new AbortController();
    find("working").hidden = false;
    this.#showStatus(`Recognising ${file.name} …`);
    try {
      const { signal } = this.cancelling;
      const model = find("model").value;
      const result = await this.engine.predict(file, { model, signal, onProgress: (share) => this.#showProgress(share) });
      this.#showResult(result, file);
    } catch (error) {
      if (error.name === "AbortError") this.#showStatus("Cancelled.");
      else this.#showProblem(error);
    } finally {
      this.cancelling = null;
      find("working").hidden = true;
    }
  }

  async #startLive() {
    if (this.cancelling || this.live || !mayDrop(this.result)) return;
    this.#clear();
    this.live = new Live(this.engine, find("model").value, this.choice.labels, (result, wav, problem) => {
      this.#endLive();
      if (result) this.#showResult(result, new File([wav], result.file, { type: "audio/wav" }));
      if (problem) this.#showProblem(new Error(problem));
    });
    this.#disableInput(true);
    find("live").replaceChildren(this.live.element);
    find("live").hidden = false;
    this.#showStatus("Recognising sounds from the microphone …");
    try {
      await this.live.start();
      this.live?.stopButton.focus();
    } catch (error) {
      this.#endLive();
      this.#showProblem(error);
    }
  }

  #endLive() {
    this.live = null;
    find("live").hidden = true;
    this.#disableInput(false);
  }

  #showResult(result, file) {
    this.result = result;
    this.#offerSounds(result.model); // another may have been selected since
    this.url = URL.createObjectURL(file);
    this.viewer = new Viewer(result, this.url, file.type.startsWith("video/"));
    this.viewer.show(this.#shown); // without a choice too: of all labels' scores it has the best
    const training = new TrainingSet(this.engine, file, () => this.#shown, () => correctionsOf(result).markSaved());
    const { labels } = this.models.find((one) => one.name === result.model);
    this.editor = new Editor(this.viewer, { labels, onEdit: (heir) => this.#onEdit(heir), extras: [training.element] });
    this.chooser.setSegments(result.segments);
    const saveAs = (format) => {
      save(format.text(this.#shown), stem + format.suffix, format.type);
      correctionsOf(result).markSaved();
    };
    const stem = result.file.replace(/\.[^.]*$/, "");
    const downloads = Object.values(FORMATS).map((format) =>
      make("button", { type: "button", onclick: () => saveAs(format) }, format.title),
    );
    const title = make("h2", { tabindex: "-1" }, result.file);
    find("result").replaceChildren(
      make("div", { class: "title" }, title, make("p", { class: "quiet" }, `recognised by ${result.model}`)),
      this.viewer.element,
      make("div", { class: "downloads", role: "group", "aria-label": "Save as" }, make("span", {}, "Save as"), ...downloads),
    );
    find("result").hidden = false;
    const warnings = (result.warnings ?? []).map((line) => ` Warning: ${line}.`).join("");
    this.#showStatus(`${result.file}: ${countSegments(this.#shown.segments.length)}.${warnings}`);
    title.focus({ preventScroll: true });
    find("sounds").scrollIntoView({ block: "start", behavior: "smooth" });
  }

  #showProgress(share) {
    const bar = find("progress");
    if (share === null || share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  }

  #disableInput(disabled) {
    for (const id of ["choose", "microphone", "example", "model"]) find(id).disabled = disabled;
  }

  #clear() {
    this.viewer?.close();
    this.viewer = this.result = null;
    this.chooser?.setSegments([]);
    this.#describeModel();
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    find("result").hidden = true;
    find("problem").hidden = true;
    find("drop").classList.add("compact"); // its explanations have been read
    this.#showProgress(null);
  }

  #showStatus(text) {
    find("status").textContent = text;
  }

  #showProblem(error) {
    this.#showStatus("");
    find("problem").textContent = error.message;
    find("problem").hidden = false;
  }

  #onKey(event) {
    if (!this.viewer || find("recognise").hidden || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    // A focused control keeps the keys that it understands; the timeline scrolls by arrow keys itself.
    const { target } = event;
    if (target.closest?.("input, select, dialog, textarea") || (event.key === " " && target.closest?.("button, a, summary"))) return;
    if (event.key.startsWith("Arrow") && target.closest?.(".timeline, video")) return;
    if (this.viewer.key(event.key)) event.preventDefault();
  }
}

/** Calls a function with a file that is dropped anywhere on the page. */
function onDrop(take) {
  const highlight = (over) => find("drop").classList.toggle("over", over);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    highlight(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) highlight(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    highlight(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}

/** Asks for the API key; resolves to an empty text if the dialog is cancelled. */
function askKey() {
  const dialog = find("key-dialog");
  find("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "ok" ? find("key").value.trim() : "");
  });
}
