// The models that have been taught, with what can be done with each.
import { make, readable } from "./text.js";

const MAX_NAMED = 6; // labels

/** models: those that were taught. actions: {use(name), download(name), remove(name)}. Returns an element. */
export function modelList(models, actions) {
  const items = models.map(({ name, labels }) => {
    const more = labels.length > MAX_NAMED ? `, and ${labels.length - MAX_NAMED} more` : "";
    const sounds = labels.slice(0, MAX_NAMED).map(readable).join(", ");
    const button = (title, action) => make("button", { type: "button", "aria-label": `${title} ${name}`, onclick: () => action(name) }, title);
    return make(
      "li",
      {},
      make("div", {}, make("b", {}, name), make("p", { class: "quiet" }, `${sounds}${more}`)),
      make("div", { class: "actions" }, button("Use", actions.use), button("Download", actions.download), button("Delete", actions.remove)),
    );
  });
  return make("ul", { class: "teach-models" }, ...items);
}
