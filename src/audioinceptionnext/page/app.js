// The page: what is given goes to an engine (a server, or the model in this browser), what is heard to the views.
import { FORMATS, save } from "./formats.js";
import { Live } from "./live.js";
import { Viewer } from "./viewer.js";
import { make, readable } from "./words.js";

const find = (name) => document.getElementById(name);
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
    this.url = null;
    engine.askKey = askKey;
    find("note").textContent = engine.note;
    find("choose").onclick = () => find("file").click();
    find("file").onchange = (event) => this.#give(event.target);
    find("example").onclick = () => this.#example();
    find("microphone").onclick = () => this.#listen();
    find("cancel").onclick = () => this.cancelling?.abort();
    find("model").onchange = () => this.#describe();
    takeDrops((file) => this.predict(file));
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  async open() {
    try {
      this.models = await this.engine.models();
    } catch (error) {
      this.#fail(error);
      return;
    }
    const options = this.models.map((one) => make("option", { value: one.name, selected: one.default }, one.name));
    find("model").replaceChildren(...options);
    find("model").disabled = false;
    this.#describe();
  }

  #describe() {
    const model = this.models.find((one) => one.name === find("model").value);
    find("knows").textContent = `${model.name} knows ${model.labels.length} sounds: ${model.labels.map(readable).join(", ")}.`;
  }

  #give(input) {
    const [file] = input.files;
    input.value = ""; // so that the same file can be chosen again
    if (file) this.predict(file);
  }

  async #example() {
    const response = await fetch(EXAMPLE);
    if (response.ok) this.predict(new File([await response.blob()], "kitchen-scene.mp3", { type: "audio/mpeg" }));
    else this.#fail(new Error("The example is missing."));
  }

  async predict(file) {
    if (this.cancelling || this.live) return;
    this.#clear();
    this.cancelling = new AbortController();
    find("working").hidden = false;
    this.#say(`Listening to ${file.name} …`);
    try {
      const { signal } = this.cancelling;
      const model = find("model").value;
      const heard = await this.engine.predict(file, { model, signal, progress: (share) => this.#progress(share) });
      this.#show(heard, file);
    } catch (error) {
      if (error.name === "AbortError") this.#say("Cancelled.");
      else this.#fail(error);
    } finally {
      this.cancelling = null;
      find("working").hidden = true;
    }
  }

  async #listen() {
    if (this.cancelling || this.live) return;
    this.#clear();
    this.live = new Live(this.engine, find("model").value, (heard, wav, message) => {
      this.live = null;
      find("live").hidden = true;
      this.#busy(false);
      if (heard) this.#show(heard, new File([wav], heard.file, { type: "audio/wav" }));
      if (message) this.#fail(new Error(message));
    });
    this.#busy(true);
    find("live").replaceChildren(this.live.element);
    find("live").hidden = false;
    this.#say("Listening to the microphone …");
    try {
      await this.live.start();
      this.live?.stopButton.focus();
    } catch (error) {
      this.live = null;
      find("live").hidden = true;
      this.#busy(false);
      this.#fail(error);
    }
  }

  #show(heard, file) {
    this.url = URL.createObjectURL(file);
    this.viewer = new Viewer(heard, this.url, file.type.startsWith("video/"));
    const stem = heard.file.replace(/\.[^.]*$/, "");
    const downloads = Object.values(FORMATS).map((format) =>
      make("button", { type: "button", onclick: () => save(format.text(heard), stem + format.suffix, format.type) }, format.title),
    );
    const title = make("h2", { tabindex: "-1" }, heard.file);
    find("result").replaceChildren(
      make("div", { class: "title" }, title, make("p", { class: "quiet" }, `heard by ${heard.model}`)),
      this.viewer.element,
      make("div", { class: "downloads", role: "group", "aria-label": "Save as" }, make("span", {}, "Save as"), ...downloads),
    );
    find("result").hidden = false;
    const count = heard.segments.length;
    this.#say(`${heard.file}: ${count} ${count === 1 ? "segment" : "segments"}.`);
    title.focus({ preventScroll: true });
    find("result").scrollIntoView({ block: "start", behavior: "smooth" });
  }

  #progress(share) {
    const bar = find("progress");
    if (share === null || share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  }

  #busy(busy) {
    for (const name of ["choose", "microphone", "example", "model"]) find(name).disabled = busy;
  }

  #clear() {
    this.viewer?.close();
    this.viewer = null;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    find("result").hidden = true;
    find("problem").hidden = true;
    find("drop").classList.add("compact"); // what it says has been read
    this.#progress(null);
  }

  #say(text) {
    find("status").textContent = text;
  }

  #fail(error) {
    this.#say("");
    find("problem").textContent = error.message;
    find("problem").hidden = false;
  }

  #key(event) {
    if (!this.viewer || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    // A focused control has the keys that it knows; the timeline scrolls by arrows itself.
    const at = event.target;
    if (at.closest?.("input, select, dialog, textarea") || (event.key === " " && at.closest?.("button, a"))) return;
    if (event.key.startsWith("Arrow") && at.closest?.(".timeline, video")) return;
    if (this.viewer.key(event.key)) event.preventDefault();
  }
}

/** Files dropped anywhere on the page. */
function takeDrops(take) {
  const mark = (over) => find("drop").classList.toggle("over", over);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}

function askKey() {
  const dialog = find("ask");
  find("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "ok" ? find("key").value.trim() : "");
  });
}
