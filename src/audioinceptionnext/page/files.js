// Files that are dropped on the page, folders included, and files that are chosen.

const MAX_FILES = 1000; // that one drop adds
const SOUND = /\.(wav|wave|w64|rf64|bwf|flac|mp3|mp2|m4a|m4b|aac|ogg|oga|opus|spx|wma|aiff?|aifc|au|snd|caf|wv|ape|tta|ac3|dts|amr|3gpp?|mka|mkv|mp4|m4v|mov|webm|avi|mpe?g|ts|mts|m2ts|flv|wmv|ogv)$/i;

/**
 * Calls take(files, note) when something is dropped anywhere on the page. Of a folder, that is its recordings and those in
 * its folders, by name. note: a line on what was left out, or null. highlight(over): called while something is over the page.
 */
export function onDrop(take, highlight) {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    highlight(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) highlight(false);
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    highlight(false);
    const { files, note } = await filesIn(event.dataTransfer);
    take(files, note);
  });
}

/** What was dropped, as {files, note} for `onDrop`. transfer: a DataTransfer. */
export async function filesIn(transfer) {
  // The items are gone after the first pause of this function.
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const dropped = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = { files: [], left: 0 };
  for (const { entry, file } of dropped) {
    if (entry?.isDirectory) await addFolder(entry, found);
    else if (file) found.files.push(file);
  }
  return { files: found.files.slice(0, MAX_FILES), note: noteOf(found) };
}

/** Adds the recordings of a folder to found.files, and counts the other files in found.left. */
async function addFolder(folder, found) {
  const entries = await entriesOf(folder).catch(() => []);
  entries.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  for (const entry of entries) {
    if (found.files.length > MAX_FILES) return;
    if (entry.isDirectory) await addFolder(entry, found);
    else if (!entry.name.startsWith(".")) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      if (file && (/^(audio|video)\//.test(file.type) || SOUND.test(file.name))) found.files.push(file);
      else found.left++;
    }
  }
}

/** All entries of a folder, which a browser gives a hundred at a time. */
async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}

function noteOf({ files, left }) {
  const notes = [];
  if (files.length > MAX_FILES) notes.push(`Only the first ${MAX_FILES.toLocaleString("en")} files were added.`);
  if (left) notes.push(`${left.toLocaleString("en")} ${left === 1 ? "file" : "files"} of the folder ${left === 1 ? "is" : "are"} no recording by name.`);
  if (!files.length && !left) notes.push("There is no file in what was dropped.");
  return notes.join(" ") || null;
}
