// The page: an engine (a server, or the model in this browser) recognises recordings, and a viewer shows the results.
import { Choice, only } from "./choice.js";
import { Chooser } from "./chooser.js";
import { corrected, correctionsOf } from "./corrections.js";
import { onDrop } from "./files.js";
import { LanguageSwitch } from "./languages.js";
import { Live } from "./live.js";
import { Navigation } from "./navigation.js";
import { Queue } from "./queue.js";
import { QueueView } from "./queue_view.js";
import { ResultView } from "./result_view.js";
import { Teach } from "./teach.js";
import { countSegments, countShown, make, number, readable } from "./text.js";
import { mayDrop } from "./unsaved.js";

const find = (id) => document.getElementById(id);
const MAX_LISTED = 60; // labels; of a model with more, none is listed
const EXAMPLE = new URL("./example.mp3", import.meta.url);
const RESULT = "#result="; // and the id of a result that the server keeps, in the page's address

/** engine: an object with the methods of `ServerEngine`. */
export async function start(engine) {
  const page = new Page(engine);
  await page.open();
}

class Page {
  constructor(engine) {
    this.engine = engine;
    this.view = null; // the ResultView, of the entry of the queue that is shown
    this.live = null;
    this.awaited = null; // files that were added together: the first result of them is shown as soon as it is there
    this.choice = new Choice(new URLSearchParams(location.search));
    this.queue = new Queue(engine, (entry) => this.#onEntry(entry));
    this.list = new QueueView(this.queue, {
      show: (entry) => this.#show(entry, true),
      copyLink: (entry) => this.#copyLink(entry),
      mayRemove: (entry) => mayDrop(entry.result),
      asShown: (result) => this.#asShown(result),
    });
    find("queue").replaceChildren(this.list.element);
    this.navigation = new Navigation(find("views"));
    this.navigation.add("recognise", "Recognise", find("recognise"), () => this.teach?.hide());
    this.language = new LanguageSwitch(find("language"), engine, () => this.#rename());
    engine.askKey = askKey;
    find("choose").onclick = () => find("file").click();
    find("file").onchange = (event) => this.#addChosen(event.target);
    find("example").onclick = () => this.#addExample();
    find("microphone").onclick = () => this.#startLive();
    find("model").onchange = () => this.#describeModel();
    onDrop(
      (files, note) => (find("recognise").hidden ? this.teach.say("Drop files onto the sound that they are examples of.") : this.add(files, note)),
      (over) => find("drop").classList.toggle("over", over),
    );
    addEventListener("hashchange", () => this.#openLink());
    document.addEventListener("keydown", (event) => this.#onKey(event));
  }

  async open() {
    try {
      this.models = await this.engine.models();
    } catch (error) {
      this.#showProblem(error.message);
      return;
    }
    await this.language.begin();
    find("note").textContent = this.engine.note;
    this.#listModels((one) => one.default);
    if (this.engine.offers.includes("teach")) {
      this.teach = new Teach(this.engine, find("teach"), (models, name) => this.#takeModels(models, name));
      this.navigation.add("teach", "Teach", find("teach"), () => this.teach.show(this.models));
    }
    if (this.engine.offers.includes("history")) this.navigation.addPage("History", "./history.html");
    this.#openLink();
  }

  #listModels(isSelected) {
    const options = this.models.map((one) => make("option", { value: one.name, selected: isSelected(one) }, one.name));
    find("model").replaceChildren(...options);
    find("model").disabled = false;
    this.#describeModel();
  }

  /** Takes over the models, some of which have been taught. name: of the one to use from now on in the first view, or null. */
  #takeModels(models, name) {
    const selected = name ?? find("model").value;
    this.models = models;
    this.offering = null; // a model of the same name may have other sounds
    this.#listModels((one) => (models.some((other) => other.name === selected) ? one.name === selected : one.default));
    if (name === null) return;
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
    if (this.view) this.view.compareModel(name); // recordings that are added from now on are recognised by it
    else this.#offerSounds(name);
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
    this.view?.show(this.choice.labels);
    if (this.view) this.#countShown();
  }

  #countShown() {
    this.#showStatus(countShown(this.view.shown.segments.length, this.view.segments.length));
  }

  #addChosen(input) {
    this.add([...input.files], null);
    input.value = ""; // so that the same file can be chosen again
  }

  async #addExample() {
    const response = await fetch(EXAMPLE).catch(() => null);
    if (response?.ok) this.add([new File([await response.blob()], "everyday-scene.mp3", { type: "audio/mpeg" })], null);
    else this.#showProblem("The example cannot be loaded.");
  }

  /** Adds files to the queue. note: a line on what else there was, or null. after: the entry that they follow, if not the last one. */
  add(files, note, after) {
    this.#showProblem(note);
    if (!files.length) return;
    if (!this.models) {
      this.#showProblem("The models are not loaded yet: try again.");
      return;
    }
    find("drop").classList.add("compact"); // its explanations have been read
    const [first] = this.queue.add(files, find("model").value, after);
    this.awaited = first.batch;
    if (this.live) this.#showStatus("The recordings are recognised when the microphone is off.");
  }

  /** Called when an entry of the queue has changed. */
  #onEntry(entry) {
    this.list.update(entry);
    const { state, batch, name } = entry;
    if (!this.queue.entries.includes(entry)) {
      if (entry === this.view?.entry) this.#clear();
      return;
    }
    if (state === "running" && !entry.progress) this.#showStatus(`Recognising ${name} …`);
    if (state === "failed") this.#showStatus(`${name} has not been recognised.`); // its row says why
    if (state === "cancelled") this.#showStatus("Cancelled.");
    if (state !== "done") return;
    this.#showStatus(`${name}: ${countSegments(entry.result.segments.length)}.`);
    if (batch !== this.awaited) return;
    this.awaited = null;
    this.#show(entry, false);
  }

  /** A result as it is saved together with others; of another model than the chosen sounds, with all of its labels. */
  #asShown(result) {
    const all = corrected(result);
    return only(all, result.model === this.offering ? this.choice.labels : new Set([...all.clip, ...all.segments].map(({ label }) => label)));
  }

  async #startLive() {
    if (this.live || !this.models) return;
    if (this.queue.running && !this.engine.parallel) {
      this.#showProblem("The model is busy with a recording: wait until it is done, or cancel it, and then use the microphone.");
      return;
    }
    this.#clear();
    this.#showProblem(null);
    this.queue.paused = true;
    this.live = new Live(this.engine, find("model").value, this.choice.labels, (result, wav, problem) => {
      this.#endLive();
      if (result) result.sample_rate = this.models.find(({ name }) => name === result.model).sample_rate;
      if (result) this.#show(this.queue.addResult(result, new File([wav], result.file, { type: "audio/wav" })), false);
      if (problem) this.#showProblem(problem);
    });
    this.#disableInput(true);
    find("live").replaceChildren(this.live.element);
    find("live").hidden = false;
    find("drop").classList.add("compact");
    this.#showStatus("Recognising sounds from the microphone …");
    try {
      await this.live.start();
      this.live?.stopButton.focus();
    } catch (error) {
      this.#endLive();
      this.#showProblem(error.message);
    }
  }

  #endLive() {
    this.live = null;
    find("live").hidden = true;
    this.#disableInput(false);
    this.queue.paused = false;
  }

  /** Shows the result of an entry. chosen: whether somebody has asked for this one. */
  #show(entry, chosen) {
    if (chosen) this.awaited = null;
    this.#showAgain(entry);
    this.view.title.focus({ preventScroll: true });
    find("sounds").scrollIntoView({ block: "start", behavior: "instant" }); // nothing moves any more when people begin to work
  }

  /** Names the sounds anew, where the page shows any. */
  #rename() {
    this.offering = null;
    if (this.view) this.#showAgain(this.view.entry);
    else this.#describeModel();
    this.live?.show(this.choice.labels);
  }

  #showAgain(entry) {
    const { result } = entry;
    this.#clear();
    this.#offerSounds(result.model); // another may have been selected since
    this.view = new ResultView(entry, this.choice.labels, this.engine, this.models, {
      onThreshold: () => this.#countShown(),
      onEdit: () => this.#onEdit(),
      again: (one) => this.add([one.file], null, one),
    });
    this.view.compareModel(find("model").value);
    this.chooser.setSegments(this.view.segments);
    find("result").replaceChildren(this.view.element);
    find("result").hidden = false;
    this.list.mark(entry);
    this.queue.shown = entry;
    history.replaceState(null, "", location.pathname + this.choice.query + (result.kept ? RESULT + result.kept.id : ""));
  }

  /** Offers the labels that people have given to segments, and shows them. */
  #onEdit() {
    this.choice.include(correctionsOf(this.view.result).labels);
    this.chooser.setSegments(this.view.segments);
    this.view.labels = this.choice.labels;
  }

  /** Opens the result that the page's address leads to, unless it is there already. */
  async #openLink() {
    if (!location.hash.startsWith(RESULT) || !this.models) return;
    const id = location.hash.slice(RESULT.length);
    const known = this.queue.entries.find(({ result }) => result?.kept?.id === id);
    if (known) {
      if (known !== this.view?.entry) this.#show(known, true);
      return;
    }
    try {
      if (!this.engine.offers.includes("results")) throw new Error("Results have links only while a server keeps them, which this page does not use.");
      const result = await this.engine.result(id);
      find("drop").classList.add("compact");
      this.#show(this.queue.addResult(result, null), false);
    } catch (error) {
      this.#showProblem(error.message);
    }
  }

  async #copyLink(entry) {
    const { id, until } = entry.result.kept;
    const url = location.href.replace(/[?#].*/, "") + this.choice.query + RESULT + id;
    const time = new Date(until).toLocaleString("en", { weekday: "long", hour: "numeric", minute: "2-digit" });
    try {
      await navigator.clipboard.writeText(url);
      this.#showStatus(`The link to ${entry.name} is copied. It leads to the result until ${time}, unless the server is restarted or needs the room.`);
    } catch {
      this.#showStatus(`The browser does not let the page copy. The link is ${url}`); // which is allowed with https or on localhost
    }
  }

  #disableInput(disabled) {
    for (const id of ["microphone", "example", "model"]) find(id).disabled = disabled;
  }

  #clear() {
    this.view?.close();
    this.view = null;
    this.list.mark(null);
    this.queue.shown = null;
    this.chooser?.setSegments([]);
    this.#describeModel();
    find("result").hidden = true;
    if (location.hash.startsWith(RESULT)) history.replaceState(null, "", location.pathname + this.choice.query);
  }

  #showStatus(text) {
    find("status").textContent = text;
  }

  /** text: null if there is no problem any more. */
  #showProblem(text) {
    if (text) this.#showStatus("");
    find("problem").textContent = text ?? "";
    find("problem").hidden = !text;
  }

  #onKey(event) {
    if (!this.view || find("recognise").hidden || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    // A focused control keeps the keys that it understands; the timeline scrolls by arrow keys itself.
    const { target } = event;
    if (target.closest?.("input, select, dialog, textarea") || (event.key === " " && target.closest?.("button, a, summary"))) return;
    if (event.key.startsWith("Arrow") && target.closest?.(".timeline, video")) return;
    if (this.view.viewer.key(event.key)) event.preventDefault();
  }
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
