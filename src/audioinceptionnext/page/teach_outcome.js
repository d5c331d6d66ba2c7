// What has been learnt: how well each sound is recognised, what it is taken for, and what can be done with the model.
import { make, number } from "./text.js";

const NOTHING = "Nothing";
const HARDER = "Recordings that are unlike your examples are harder.";
const TOO_HIGH = "Examples that follow each other are much alike, so the figure is too high. Record some more at another time.";
const GOOD = 90; // percent
const USABLE = 70;

/**
 * @param {object} found what the engine's `teach` gives (see server.js)
 * @param {string[]} atOnce the names of sounds that were recorded in one go
 * @param {{use: function, download: function}} actions
 * @returns {HTMLElement[]}
 */
export function outcome(found, atOnce, actions) {
  const { model, clips, top1, seconds } = found;
  const rows = rowsOf(found);
  const sounds = rows.filter(({ name }) => name !== NOTHING).length;
  const title = make("h3", { tabindex: "-1" }, `${model} has learnt ${sounds} ${sounds === 1 ? "sound" : "sounds"}`);
  const meaning = `of ${number(clips)} examples are recognised by models that have learnt only from the others. ${HARDER}`;
  const figure = make("div", { class: "teach-figure" }, make("b", { class: grade(top1) }, percentage(top1)), make("p", {}, meaning));
  const time = `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const use = make("button", { type: "button", class: "primary", onclick: actions.use }, "Use it now");
  const download = make("button", { type: "button", onclick: actions.download }, "Download the model");
  const table = make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...["Sound", "Recognised", "Taken for"].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...rows.map(row)),
  );
  return [
    title,
    make("p", { class: "teach-old" }, "The examples have changed since: teach it again."),
    figure,
    advice(rows) && make("p", {}, advice(rows)),
    atOnce.length > 0 && make("p", {}, `Recorded in one go: ${atOnce.join(", ")}. ${TOO_HIGH}`),
    make("div", { class: "actions teach-done" }, use, download),
    table,
    make("p", { class: "quiet" }, `Learnt in ${time}. ${model}.onnx is a model for every command of ainext.`),
  ].filter(Boolean);
}

/** [{name, share: percent, mistakes: [[name, count], …] most frequent first}], in the order of the labels. */
function rowsOf({ per_class, confusions }) {
  const shown = (label) => (label === "nothing" ? NOTHING : label);
  return Object.entries(per_class).map(([label, share]) => {
    const mistakes = Object.entries(confusions[label]).filter(([other, count]) => other !== label && count > 0);
    mistakes.sort((a, b) => b[1] - a[1]);
    return { name: shown(label), share, mistakes: mistakes.map(([other, count]) => [shown(other), count]) };
  });
}

function row({ name, share, mistakes }) {
  const fill = make("span", { class: `fill ${grade(share)}`, style: { width: `${share}%` } });
  const bar = make("span", { class: "teach-bar", "aria-hidden": "true" }, fill);
  const others = mistakes.map(([other, count]) => (count > 1 ? `${other} (${count} times)` : other)).join(", ");
  const value = make("span", { class: "value" }, percentage(share));
  return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, bar, value), make("td", {}, others || "–"));
}

/** What would help most, in a sentence; null if all is well. */
function advice(rows) {
  const worst = rows.reduce((one, other) => (other.share < one.share ? other : one));
  if (worst.share >= GOOD) return null;
  const other = worst.mistakes[0]?.[0];
  const more = other ? `${worst.name} is easily taken for ${other}. More examples of both` : `More examples of ${worst.name}`;
  return `${more} help most, recorded where you will use it.`;
}

function grade(share) {
  return share >= GOOD ? "good" : share >= USABLE ? "fair" : "poor";
}

function percentage(share) {
  return `${share >= 99.95 || share === 0 ? share.toFixed(0) : share.toFixed(1).replace(/\.0$/, "")}\u00a0%`;
}
