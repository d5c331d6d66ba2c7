// The language in which sounds are named: the browser's, or the one that was chosen here. The rest of the page is English.
import { make, setNames } from "./text.js";

/** The languages that there are names in, by their codes: how they call themselves. */
export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", ja: "日本語", pt: "Português", zh: "中文" };
const TRADITIONAL = ["hant", "tw", "hk", "mo"]; // regions and the script of Chinese that the names are not written in
const KEY = "ainext-language"; // under which the browser stores what was chosen

/** The first of a browser's languages, such as ["nl", "de-AT", "en"], that there are names in. */
export function bestOf(wanted) {
  const parts = wanted.map((tag) => tag.toLowerCase().split("-"));
  const fits = ([code, ...more]) => Object.hasOwn(LANGUAGES, code) && !(code === "zh" && more.some((part) => TRADITIONAL.includes(part)));
  return parts.find(fits)?.[0] ?? "en";
}

/** Names the sounds in the reader's language from now on. engine.names(language): {label: name}. */
export async function useNames(engine, language = stored() ?? bestOf(navigator.languages ?? [])) {
  setNames(language === "en" ? {} : await engine.names(language), language);
  document.documentElement.dataset.names = language; // Chinese and Japanese share letters that look different
  return language;
}

/** A select element with which people change the language. onChange(): called when the names have changed. */
export class LanguageSwitch {
  constructor(select, engine, onChange) {
    Object.assign(this, { select, engine, onChange });
    select.replaceChildren(...Object.entries(LANGUAGES).map(([value, name]) => make("option", { value, lang: value }, name)));
    select.onchange = () => this.#choose(select.value);
  }

  /** Begins with the browser's language; in English if its names cannot be loaded. */
  async begin() {
    this.select.value = await useNames(this.engine).catch(() => "en");
    this.select.disabled = false;
  }

  async #choose(language) {
    try {
      await useNames(this.engine, language);
    } catch {
      this.select.value = document.documentElement.dataset.names ?? "en"; // as before
      return;
    }
    store(language);
    this.onChange();
  }
}

// A browser may refuse to store anything; then the choice holds until the page is closed.

function stored() {
  try {
    const language = localStorage.getItem(KEY);
    return Object.hasOwn(LANGUAGES, language) ? language : null;
  } catch {
    return null;
  }
}

function store(language) {
  try {
    localStorage.setItem(KEY, language);
  } catch {
    return;
  }
}
