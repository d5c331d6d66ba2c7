// The view in which people teach the page sounds of their own: a card for each sound, and what comes of it.
import { Card } from "./teach_card.js";
import { modelList } from "./teach_models.js";
import { outcome } from "./teach_outcome.js";
import { ExamplePlayer } from "./teach_player.js";
import { nameProblem, NOTHING, wantedOf } from "./teach_rules.js";
import { newId, Store } from "./teach_store.js";
import { make } from "./text.js";

const LEAD =
  "Record at least five examples of each of your own sounds, or add files. It learns them within seconds, says how well it knows " +
  "them, and recognises them at once.";
const LENGTHS = { "": "until I stop", 2: "2 s", 3: "3 s", 5: "5 s" };

export class Teach {
  /**
   * @param {object} engine with `embed`, `teach`, `modelFile`, `forget` and `teachNote` (see server.js)
   * @param {HTMLElement} element that is filled
   * @param {function} onModels called with the models, if there are others now, and the name of the one that is to be used
   *   from now on, or null
   */
  constructor(engine, element, onModels) {
    Object.assign(this, { engine, element, onModels, busy: false, cards: new Map(), models: [], player: new ExamplePlayer() });
  }

  /** Shows the view, with what was taught before. models: those of the engine. */
  async show(models) {
    this.models = models;
    this.store ??= this.#open();
    await this.store;
    this.#showModels();
    this.changed();
  }

  async #open() {
    const store = await Store.open();
    const [sounds, examples] = await Promise.all([store.all("sounds"), store.all("examples")]).catch(() => [[], []]);
    this.keeper = store;
    this.#build();
    for (const sound of sounds) {
      const own = examples.filter((one) => one.sound === sound.id);
      this.#addCard(sound, own);
    }
    if (!sounds.some(({ nothing }) => !nothing)) await this.#addSound("", false);
    if (!sounds.some(({ nothing }) => nothing)) await this.#addSound("Nothing", true);
    return store;
  }

  /** Ends what is going on, since another view is shown. */
  hide() {
    for (const card of this.cards.values()) card.stop();
    this.player.stop();
  }

  #build() {
    this.length = make("select", {}, ...Object.entries(LENGTHS).map(([value, text]) => make("option", { value, selected: value === "" }, text)));
    this.grid = make("div", { class: "teach-cards" });
    this.more = make("button", { type: "button", class: "teach-more", onclick: () => this.#addSound("", false, true) }, "+ Add a sound");
    this.grid.append(this.more);
    this.status = make("span", { role: "status" });
    this.undo = make("button", { type: "button", hidden: true }, "Undo");
    const name = localStorage.getItem("ainext-teach-name") ?? "my-sounds";
    this.name = make("input", { type: "text", value: name, maxlength: 60, autocomplete: "off", spellcheck: "false", oninput: () => this.changed() });
    this.from = make("select", { onchange: () => this.changed() });
    this.button = make("button", { type: "button", class: "primary", onclick: () => this.#teach() }, "Teach");
    this.wanted = make("p", { class: "quiet", "aria-live": "polite" });
    this.bar = make("progress", { max: 1, "aria-label": "Progress", hidden: true });
    this.cancel = make("button", { type: "button", hidden: true, onclick: () => this.cancelling?.abort() }, "Cancel");
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    this.outcome = make("section", { class: "teach-outcome", "aria-label": "What it has learnt", hidden: true });
    this.taughtModels = make("section", { class: "teach-outcome", "aria-label": "Your models", hidden: true });
    const kept = this.keeper.lasts ? "" : " This browser keeps nothing for the page: the examples are lost when it is closed.";
    this.element.replaceChildren(
      make("h2", {}, "Teach it a sound"),
      make("p", { class: "teach-lead" }, LEAD),
      make("p", { class: "quiet" }, `${this.engine.teachNote}${kept}`),
      make("label", { class: "teach-length" }, "Record ", this.length),
      this.grid,
      make(
        "div",
        { class: "teach-panel" },
        make("label", {}, "Name of the model ", this.name),
        make("label", {}, "Learns from ", this.from),
        this.button,
        this.bar,
        this.cancel,
        this.wanted,
      ),
      this.problem,
      this.outcome,
      this.taughtModels,
      make("div", { class: "teach-toast" }, this.status, this.undo),
    );
  }

  #showModels() {
    const chosen = this.from.value;
    const bases = this.models.filter((one) => !one.taught);
    const selected = bases.find((one) => one.name === chosen) ?? bases.find((one) => one.default) ?? bases[0];
    this.from.replaceChildren(...bases.map((one) => make("option", { value: one.name, selected: one === selected }, one.name)));
    this.from.parentElement.hidden = bases.length < 2;
    const taught = this.models.filter((one) => one.taught);
    const actions = {
      use: (name) => this.onModels(this.models, name),
      download: (name) => this.#download(name),
      remove: (name) => this.#forget(name),
    };
    this.taughtModels.replaceChildren(make("h3", {}, "Your models"), modelList(taught, actions));
    this.taughtModels.hidden = !taught.length;
  }

  async #forget(name) {
    if (!confirm(`Delete the model ${name}? The examples stay.`)) return;
    try {
      await this.engine.forget(name);
      if (this.learnt === name) this.outcome.hidden = true;
      await this.#update();
      this.say(`${name} deleted.`);
    } catch (error) {
      this.#complain(error);
    }
  }

  async #update() {
    this.models = await this.engine.models();
    this.#showModels();
    this.onModels(this.models, null);
  }

  // What a card asks of the view it is part of.

  /** For how many seconds a sound is recorded; null: until it is stopped. */
  get recordSeconds() {
    return Number(this.length.value) || null;
  }

  /**
   * A new example, which is kept: {id, sound, name, source, blob, seconds, outline, clipped, features: by `#base`}.
   *
   * @throws {Error} one line: it cannot be one
   */
  async add(sound, blob, details) {
    const { features, seconds } = await this.#features(blob, details.name);
    const example = { id: newId(), sound: sound.id, blob, ...details, seconds: details.seconds ?? seconds, features: { [this.#base]: features } };
    await this.#keep("examples", example);
    return example;
  }

  /** What identifies the model whose features are used: a release may have another one of the same name. */
  get #base() {
    const { name, bytes, parameters, measured, path } = this.models.find((one) => one.name === this.from.value);
    return JSON.stringify([name, bytes, parameters, measured, path]);
  }

  async #features(blob, name, signal) {
    const { features, duration } = await this.engine.embed(blob, { name, model: this.from.value, signal });
    if (!features.length) throw new Error(`${name}: is silent, so there is nothing to learn from it.`);
    return { features: features.map((row) => Float64Array.from(row)), seconds: duration };
  }

  /** Deletes an example; it can be brought back until something else is deleted. */
  async delete(example) {
    const card = this.cards.get(example.sound);
    const index = card.examples.indexOf(example);
    card.examples.splice(index, 1);
    card.show();
    this.changed();
    await this.keeper.delete("examples", example.id);
    this.#offerUndo("Example deleted.", async () => {
      card.examples.splice(index, 0, example);
      await this.#keep("examples", example);
      card.show();
    });
  }

  async remove(sound) {
    const card = this.cards.get(sound.id);
    card.stop();
    const next = card.element.nextElementSibling; // of which there is one: the button for another sound
    card.element.remove();
    this.cards.delete(sound.id);
    this.changed();
    this.more.focus();
    await this.keeper.delete("sounds", sound.id);
    await Promise.all(card.examples.map((one) => this.keeper.delete("examples", one.id)));
    if (!sound.name && !card.examples.length) return;
    this.#offerUndo(`${sound.name || "A sound"} removed.`, async () => {
      this.cards.set(sound.id, card);
      this.grid.insertBefore(card.element, next.isConnected ? next : this.more);
      await this.#keep("sounds", sound);
      for (const one of card.examples) await this.#keep("examples", one);
    });
  }

  async rename(sound, name) {
    sound.name = name;
    for (const card of this.cards.values()) card.showName();
    this.changed();
    await this.#keep("sounds", sound);
  }

  nameProblem(sound) {
    return nameProblem(sound, this.#sounds);
  }

  get #sounds() {
    return [...this.cards.values()].map((card) => card.sound);
  }

  /** Plays an example, or stops it if it plays. button: that of the example. */
  play(example, button) {
    this.player.toggle(example.blob, button, () => this.say("This browser cannot play it. It counts nevertheless."));
  }

  /** Shows a line for a while. */
  say(text, seconds = 6) {
    this.status.textContent = text;
    this.undo.hidden = true;
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      this.status.textContent = "";
      this.undo.hidden = true;
    }, 1000 * seconds);
  }

  /** To be called when an example, a name or a setting has changed. */
  changed() {
    const wanted = wantedOf([...this.cards.values()], this.name.value.trim(), this.models);
    if (!this.cancelling) this.wanted.textContent = wanted ?? "";
    this.button.disabled = this.busy || wanted !== null;
    this.more.disabled = this.from.disabled = this.busy;
    for (const card of this.cards.values()) card.record.disabled = card.choose.disabled = this.busy;
    this.outcome.classList.toggle("old", this.learntFrom !== undefined && this.learntFrom !== this.#state());
  }

  /** What identifies what would be taught now. */
  #state() {
    const ids = [...this.cards.values()].map(({ sound, examples }) => [sound.name.trim(), ...examples.map(({ id }) => id)]);
    return JSON.stringify([this.from.value, this.name.value.trim(), ids]);
  }

  async #addSound(name, nothing, focus = false) {
    const sound = { id: newId(), name, nothing };
    const card = this.#addCard(sound, []);
    this.changed();
    if (focus) card.title.focus();
    await this.#keep("sounds", sound);
  }

  /** Adds a card; that of nothing is the last one. */
  #addCard(sound, examples) {
    const card = new Card(sound, examples, this);
    this.cards.set(sound.id, card);
    this.grid.insertBefore(card.element, sound.nothing ? null : this.more);
    return card;
  }

  #offerUndo(text, action) {
    this.say(text, 20);
    this.undo.hidden = false;
    this.undo.onclick = async () => {
      this.undo.hidden = true;
      this.say("Brought back.");
      await action();
      this.changed();
    };
  }

  async #keep(kind, object) {
    await this.keeper.put(kind, object).catch((error) => this.say(error.message));
  }

  /** The examples with their labels, sounds first. */
  #examples() {
    const cards = [...this.cards.values()].sort((a, b) => a.sound.nothing - b.sound.nothing);
    return cards.flatMap(({ sound, examples }) => examples.map((example) => ({ example, sound })));
  }

  async #teach() {
    const [name, from, base] = [this.name.value.trim(), this.from.value, this.#base];
    localStorage.setItem("ainext-teach-name", name);
    this.cancelling = new AbortController();
    const { signal } = this.cancelling;
    this.wanted.textContent = "Learning …";
    this.#work(true);
    try {
      const all = this.#examples();
      for (const [index, { example }] of all.entries()) {
        this.bar.value = index / all.length;
        if (example.features[base]) continue;
        example.features[base] = (await this.#features(example.blob, example.name, signal)).features;
        await this.#keep("examples", example);
      }
      this.bar.removeAttribute("value");
      const examples = all.map(({ example, sound }) => ({
        label: sound.nothing ? NOTHING : sound.name.trim(),
        features: example.features[base],
        source: example.source,
      }));
      const found = await this.engine.teach({ name, from, examples }, { signal });
      this.learntFrom = this.#state();
      await this.#update();
      this.#show(found);
      if (found.note) this.say(found.note);
    } catch (error) {
      if (error.name === "AbortError") this.say("Cancelled.");
      else this.#complain(error);
    } finally {
      this.cancelling = null;
      this.#work(false);
    }
  }

  #work(going) {
    this.busy = going;
    this.bar.hidden = this.cancel.hidden = !going;
    this.button.hidden = going;
    if (going) this.problem.hidden = true;
    this.changed();
  }

  #show(found) {
    this.learnt = found.model;
    const actions = { use: () => this.onModels(this.models, found.model), download: () => this.#download(found.model) };
    const atOnce = [...this.cards.values()].filter(({ examples }) => new Set(examples.map((one) => one.source)).size === 1);
    const names = atOnce.map(({ sound }) => sound.name.trim());
    this.outcome.replaceChildren(...outcome(found, names, actions));
    this.outcome.hidden = false;
    this.outcome.querySelector("h3").focus({ preventScroll: true });
    this.outcome.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  async #download(name) {
    try {
      const link = make("a", { href: URL.createObjectURL(await this.engine.modelFile(name)), download: `${name}.onnx` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error) {
    this.problem.textContent = error.message;
    this.problem.hidden = false;
  }
}
