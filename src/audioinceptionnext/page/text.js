// Times, numbers and scores as people read them, and elements with text. Data never becomes markup.
// The pages are in English, and so are their numbers, whatever the reader's locale is; the report's templates agree.

/** 65.25 -> "1:05.2"; from an hour on "1:00:00.0". digits: how many follow the decimal point. */
export function clock(seconds, digits = 1) {
  const unit = 10 ** digits;
  const whole = Math.round(seconds * unit);
  const parts = [Math.floor(whole / unit / 60) % 60, Math.floor(whole / unit) % 60];
  const hours = Math.floor(whole / unit / 3600);
  const fraction = digits ? "." + String(whole % unit).padStart(digits, "0") : "";
  const pad = (value) => String(value).padStart(2, "0");
  return (hours ? `${hours}:${pad(parts[0])}` : String(parts[0])) + `:${pad(parts[1])}${fraction}`;
}

/** The reverse: "1:05.2", "65.2" or "65,2" -> 65.2; NaN for what is no time. */
export function secondsOf(text) {
  const parts = text.trim().replace(",", ".").split(":");
  const isTime = parts.length <= 3 && parts.every((part, index) => (index < parts.length - 1 ? /^\d+$/ : /^(\d+\.?\d*|\.\d+)$/).test(part));
  return isTime ? parts.reduce((sum, part) => 60 * sum + Number(part), 0) : NaN;
}

/** 1234 -> "1,234". */
export function number(value) {
  return value.toLocaleString("en");
}

/** "1 segment", "1,234 segments". */
export function countSegments(count) {
  return `${number(count)} ${count === 1 ? "segment" : "segments"}`;
}

/** "2 of 40 segments shown.", "All 40 segments shown."; of one or none, "1 segment." and "0 segments." */
export function countShown(some, all) {
  if (some < all) return `${number(some)} of ${countSegments(all)} shown.`;
  return all > 1 ? `All ${countSegments(all)} shown.` : `${countSegments(all)}.`;
}

/** 0.876 -> "88 %". */
export function percent(score) {
  return `${Math.round(100 * score)}\u00a0%`;
}

/** A segment's score: "88 %", or "edited" if a person has set the segment's bounds or label, which have no score. */
export function scoreOf({ score }) {
  return score == null ? "edited" : percent(score);
}

let names = new Map(); // of labels and groups, in the reader's language; empty in English
let language = "en";

/** Shows these names in place of labels from now on: {label: name}. code: of their language, such as "de". */
export function setNames(found, code = "en") {
  names = new Map(Object.entries(found));
  language = code;
}

/** The attribute `lang` of an element that holds the name of a label alone, so that screen readers pronounce it; or null. */
export function languageOf(label) {
  return names.has(label) && language !== "en" ? language : null;
}

/** What a search for a label looks at, in lower case: its name in the reader's language, and the label. */
export function searchable(label) {
  const [name, own] = [readable(label).toLowerCase(), label.toLowerCase()];
  return name === own ? name : `${name} ${own}`;
}

/** The label in the reader's language, as subtitles have it. */
export function named(label) {
  return names.get(label) ?? label;
}

/** "clean-dishes" -> "clean dishes", for the page; files keep the label. "Tick-tock" is written as people write it. */
export function readable(label) {
  const name = names.get(label);
  if (name !== undefined && name !== label) return name;
  return label.includes(" ") || label !== label.toLowerCase() ? label : label.replaceAll(/[-_]/g, " ");
}

/** A label without tabs and line ends, which separate fields and lines in files for other programs. */
export function oneLine(label) {
  return label.trim().split(/\s+/).join(" ");
}

/** A segment in words: "clean dishes 88 %, 0:01.0 to 0:02.5". */
export function describe(segment) {
  return `${readable(segment.label)} ${scoreOf(segment)}, ${clock(segment.start)} to ${clock(segment.end)}`;
}

/** An element: make("p", {class: "quiet"}, "text", otherElement). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") Object.assign(element.style, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}
