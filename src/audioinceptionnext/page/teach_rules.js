// What is missing before a model can be taught, and which names sounds and models may have.

export const NOTHING = "nothing"; // the label of what is to get no label
const MODEL_NAME = /^[\p{L}\p{N}]([\p{L}\p{N} ._-]*[\p{L}\p{N}_-])?$/u; // it is a file's name, too

const MODEL_NAME_RULE =
  "A model’s name begins with a letter or a digit, has only these, spaces, dots, hyphens and underscores, and does not end with a dot.";

const key = (name) => name.trim().toLowerCase();

/**
 * What is wrong with the name of a sound, in words; null if nothing is, or if it has none yet.
 *
 * @param {{id: string, name: string}} sound
 * @param {object[]} sounds all of them; of two with the same name, the later one has the problem
 */
export function nameProblem(sound, sounds) {
  if (!sound.name) return null;
  if (!sound.name.trim()) return "A name has letters or digits.";
  if (/\p{C}/u.test(sound.name)) return "It has a character that cannot be printed: type the name instead.";
  if (key(sound.name) === NOTHING) return "This is the name of the card for everything else: choose another.";
  const hasTwin = sounds.some((other) => other.id < sound.id && key(other.name) === key(sound.name));
  return hasTwin ? "Another sound has this name: choose another, or put the examples together." : null;
}

/**
 * What is missing before a model can be taught, in a sentence; null if nothing is.
 *
 * @param {Card[]} cards
 * @param {string} name of the new model
 * @param {object[]} models that there are
 */
export function wantedOf(cards, name, models) {
  const sounds = cards.map((card) => card.sound);
  const used = cards.filter(({ sound, examples }) => !sound.nothing && (examples.length || sound.name));
  const nothing = cards.find(({ sound }) => sound.nothing);
  const wrong = used.find(({ sound }) => nameProblem(sound, sounds));
  if (!used.length) return "Give your first sound a name, and record it.";
  if (used.some(({ sound }) => !sound.name.trim())) return "Give each sound a name.";
  if (wrong) return `${wrong.sound.name.trim()}: choose another name.`;
  const missing = used.flatMap((card) => card.wanted ?? []);
  if (missing.length) return `Still wanted: ${missing.join(", ")}.`;
  const some = nothing.examples.length > 0;
  if (some && !nothing.enough) return "Still wanted: a minute of nothing in all, or none of it.";
  if (used.length + some < 2) return "Still wanted: a minute of nothing, or a second sound, to tell yours from.";
  if (!MODEL_NAME.test(name)) return MODEL_NAME_RULE;
  if (models.some((one) => key(one.name) === key(name) && !one.taught)) return `A model is called ${name} already: choose another name.`;
  return null;
}
