// Which of a model's labels the page shows: all of them, only some, or all but some. The choice is kept in the address,
// as in ?labels=Dog,group:Animal&ignore=Speech, so that a link leads to the same view.

const GROUP = "group:";
const TOP_K = 5; // labels of the recording as a whole, of each task

/** "Waves,  surf" and "waves, surf" are the same name. */
const key = (name) => name.trim().toLowerCase().replaceAll(/\s*([,:])\s*/g, "$1").replaceAll(/\s+/g, " ");

export class Choice {
  /** query: URLSearchParams of the page's address. */
  constructor(query) {
    this.given = { labels: query.getAll("labels"), ignore: query.getAll("ignore") };
  }

  /** Adapts the choice to a model; names that it does not have are kept for others. model: {labels, groups}. */
  setModel({ labels, groups }) {
    const all = Object.entries(groups ?? {}).map(([title, members]) => ({ name: GROUP + title, title, labels: members }));
    this.all = labels;
    /** What can be chosen: [{name, title, labels}], groups first. */
    this.offers = [...all, ...labels.map((label) => ({ name: label, title: label, labels: [label] }))];
    this.known = new Map(this.offers.map((offer) => [key(offer.name), offer]));
    this.mostParts = Math.max(1, ...[...this.known.keys()].map((name) => name.split(",").length));
    // Split anew: what another model has split at a comma may be one name of this one.
    for (const [list, names] of Object.entries(this.given)) this.given[list] = this.#names(names.join());
  }

  /** Adds labels that people have given to segments: those that the model does not have. */
  include(labels) {
    const own = [...labels].filter((label) => !this.all.includes(label));
    if (!own.length) return;
    this.all = [...this.all, ...own];
    this.offers.push(...own.map((label) => ({ name: label, title: label, labels: [label] })));
    for (const offer of this.offers) if (!this.known.has(key(offer.name))) this.known.set(key(offer.name), offer);
    this.mostParts = Math.max(1, ...[...this.known.keys()].map((name) => name.split(",").length));
  }

  /** The names in a comma-separated list. Names may contain commas themselves: the longest known one counts. */
  #names(text) {
    const parts = text.split(",").filter((part) => part.trim());
    const names = [];
    while (parts.length) {
      let count = Math.min(parts.length, this.mostParts);
      while (count > 1 && !this.known.has(key(parts.slice(0, count).join()))) count--;
      names.push(parts.splice(0, count).join().trim());
    }
    return names;
  }

  /** What a name or a pattern such as `Smoke detector*` stands for: {name, title, labels}; undefined if for nothing. */
  find(name) {
    const found = this.known.get(key(name));
    if (found || !/[*?]/.test(name)) return found;
    const escaped = key(name).replaceAll(/[.+^${}()|[\]\\]/g, "\\$&");
    const pattern = new RegExp(`^${escaped.replaceAll(/\*+/g, ".*").replaceAll("?", ".")}$`);
    const isGroup = (one) => key(one).startsWith(GROUP);
    const matching = this.offers.filter((offer) => isGroup(offer.name) === isGroup(name) && pattern.test(key(offer.name)));
    const labels = [...new Set(matching.flatMap((offer) => offer.labels))];
    return labels.length ? { name, title: name, labels } : undefined;
  }

  /** What of a list, "labels" or "ignore", the model knows: [{name, title, labels}]. */
  chosen(list) {
    return this.given[list].map((name) => this.find(name)).filter(Boolean);
  }

  /** The names of both lists that the model does not know. */
  get unknown() {
    return Object.values(this.given).flatMap((names) => names.filter((name) => !this.find(name)));
  }

  has(list, { name }) {
    return this.given[list].some((one) => key(one) === key(name));
  }

  /** Adds an offer to a list, or removes it. It leaves the other list in either case. */
  toggle(list, offer) {
    const had = this.has(list, offer);
    for (const [other, names] of Object.entries(this.given)) this.given[other] = names.filter((one) => key(one) !== key(offer.name));
    if (!had) this.given[list].push(offer.name);
  }

  /** Chooses all labels again. */
  clear() {
    this.given = { labels: [], ignore: [] };
  }

  /** The labels to show, as a Set. */
  get labels() {
    const only = this.chosen("labels").flatMap((offer) => offer.labels);
    const ignored = new Set(this.chosen("ignore").flatMap((offer) => offer.labels));
    return new Set((only.length ? only : this.all).filter((label) => !ignored.has(label)));
  }

  /** What follows the path in the address; an empty text for all labels. */
  get query() {
    const lists = Object.entries(this.given).filter(([, names]) => names.length);
    const query = new URLSearchParams(lists.map(([list, names]) => [list, names.join()])).toString();
    return query && `?${query.replaceAll("%2C", ",").replaceAll("%3A", ":")}`; // which are allowed, and easier to read
  }
}

/** A Result (see server.js) with these labels alone, as Python's `labels` gives it. */
export function only(result, labels) {
  const wanted = ({ label }) => labels.has(label);
  return { ...result, clip: best(result.clip.filter(wanted)), segments: result.segments.filter(wanted) };
}

/** The first five scores of each task; a model without tasks is like one with a single task. */
function best(scores) {
  const counts = new Map();
  return scores.filter(({ task }) => {
    counts.set(task, (counts.get(task) ?? 0) + 1);
    return counts.get(task) <= TOP_K;
  });
}
