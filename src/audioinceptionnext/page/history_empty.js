// What the page of the history says where there is nothing to see: why, and what to do.
import { dayOf, describeDay, shortDay } from "./days.js";
import { countEvents } from "./history_bars.js";
import { make } from "./text.js";

/** The elements for a server without a history. */
export function noHistory() {
  return explain("This server keeps no history", "Whoever runs the server can give it a file for a history, and a folder for clips, when starting ainext serve.");
}

/**
 * The elements for a day of which no event is shown. summary: of the history. hidden: how many events of the day do not fit the
 * filters. actions: {go(day), showAll()}.
 */
export function nothing(summary, day, hidden, { go, showAll }) {
  const button = (text, onclick) => make("button", { type: "button", class: "primary", onclick }, text);
  if (!summary.events) {
    return explain("Nothing has been recorded yet", "Use the microphone on the page Recognise, or let ainext listen store what it recognises in the same file.");
  }
  if (hidden) {
    const text = "They do not fit the sounds, the input or the score above.";
    return [...explain(`None of the ${countEvents(hidden)} of this day is shown`, text), button("Show all", showAll)];
  }
  const [first, last] = [summary.first, summary.last].map((time) => dayOf(Date.parse(time) / 1000));
  const near = day > last ? last : day < first ? first : null;
  if (!near) return explain("No events on this day", "The bars above show the days that have some.");
  const text = `The ${near === last ? "last" : "first"} ones are of ${describeDay(near)}.`;
  return [...explain("No events on this day", text), button(`Go to ${shortDay(near)}`, () => go(near))];
}

function explain(title, text) {
  return [make("p", { class: "big" }, title), make("p", {}, text)];
}
