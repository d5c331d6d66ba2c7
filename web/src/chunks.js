// WAV files whose header states another length than they have: src/audioinceptionnext/audio/chunks.py for the page.

const PLACEHOLDER = 0x7fff0000; // a size that is larger than this and than the file is not meant
const MOST_CHUNKS = 1000;
const MOST_RECORDINGS = 1000; // one after another in a file
const TAIL = 1 << 22; // bytes in which tags at the end are looked for
const SEARCHED = 1 << 28; // bytes in which another recording is looked for where no size says where it starts
const [MOST_TRIES, MOST_CHUNKS_OF_A_TRY] = [30, 32]; // bytes in the sound may look like a header
const BLOCK = 1 << 20;
const JUNK = 64; // bytes; what follows the samples is no sound if it is not longer
const TAGS = /LIST|bext|id3 |ID3 |iXML|_PMX|cue |smpl|fact|JUNK|junk|PAD |FLLR|inst|acid|PEAK|umid|axml|chna|afsp|info/g;
const TAG = new RegExp(`^(?:${TAGS.source}|TAG|ID3|APETAGEX)`);
const OTHER_FORMS = /^(RF64|BW64|RIFX|FORM|caff|riff|\.snd)/;

/**
 * A WAV file with its sizes, {file, note}: a program that writes to a pipe cannot go back to enter them and leaves 0, one
 * that crashed leaves an old one, and files are joined with `cat`.
 *
 * note(seconds): a line about it, or null, if so many seconds were decoded.
 */
export async function withSizes(file) {
  const source = new Source(file);
  const total = file.size;
  const first = await findLayout(source, 0);
  if (!first) return { file, note: () => null };
  const spans = [];
  let [layout, stated, left, other] = [first, 0, 0, 0];
  while (spans.length < MOST_RECORDINGS) {
    const place = layout.start + (layout.size ?? 0);
    const { follows, at } = await whatFollows(source, layout, total);
    let following = follows === "recording" ? at : null;
    if (!spans.length && layout.size !== null && layout.whole && follows === "nothing") return { file, note: () => null };
    let end = Math.min(place, total);
    if (follows === "sound") {
      following = await findNext(source, place, total);
      end = await beforeTags(source, place, following?.at ?? total);
    }
    spans.push([layout.start, end]);
    // Of a file that was cut, the browser takes the length that is there for the one that is stated.
    const sole = spans.length === 1 && follows === "nothing";
    stated += layout.size === null || sole ? end - layout.start : layout.size;
    other = follows === "other" ? total - at : 0;
    left = following ? total - following.at : 0;
    if (!following || following.format !== first.format) break;
    layout = following;
  }
  const decoded = spans.reduce((sum, [from, to]) => sum + to - from, 0);
  const head = await source.read(0, first.start);
  head.setUint32(4, 0xffffffff);
  head.setUint32(first.start - 4, Math.min(decoded, 0xffffffff), true);
  const joined = new Blob([head, ...spans.map(([from, to]) => file.slice(from, to))]);
  return { file: joined, note: (seconds) => noteOf(seconds, stated, decoded, spans.length, left, other) };
}

function noteOf(seconds, stated, decoded, joins, left, other) {
  const parts = [];
  if (stated !== decoded && decoded) {
    const length = `${((seconds * stated) / decoded).toFixed(1)} s`;
    const all = `${seconds.toFixed(1)} s`;
    if (stated < decoded) parts.push(`the header states ${length} of sound; all ${all} that are there were decoded`);
    else parts.push(`ends early: decoded ${all} of ${length}`);
  }
  if (joins > 1) parts.push(`${joins} recordings follow each other in the file and were joined`);
  if (left) parts.push(`another recording follows in the file and was left out (${kilobytes(left)})`);
  if (other) parts.push(`what follows the sound is no part of it and was left out (${kilobytes(other)})`);
  return parts.join("; ") || null;
}

function kilobytes(size) {
  return `${Math.max(1, Math.round(size / 1000)).toLocaleString("en")} kB`;
}

/**
 * Where the samples are of the WAV file that starts at a place, or null: {at, start, size, whole, format}. size is null if
 * the header does not state it; whole is what it states for the file.
 */
async function findLayout(source, at, mostChunks = MOST_CHUNKS) {
  const head = await source.read(at, 12);
  if (text(head, 0, 4) !== "RIFF" || text(head, 8, 4) !== "WAVE") return null;
  let format = "";
  let place = at + 12;
  for (let number = 0; ; number++) {
    const chunk = await source.read(place, 8);
    if (chunk.byteLength < 8) return null;
    if (number === mostChunks) throw new Error(`more than ${mostChunks} chunks before the sound`);
    const size = chunk.getUint32(4, true);
    const name = text(chunk, 0, 4);
    if (name === "fmt ") format = text(await source.read(place + 8, Math.min(size, 64)), 0, 64);
    if (name === "data") {
      return { at, start: place + 8, size: meant(source, place + 8, size), whole: head.getUint32(4, true), format };
    }
    place += 8 + size + (size % 2);
  }
}

function meant(source, start, size) {
  return size === 0 || (size >= PLACEHOLDER && size > source.size - start) ? null : size;
}

/** What follows the samples that a header states, {follows, at}: where it starts, or the layout of a recording. */
async function whatFollows(source, layout, total) {
  const first = layout.start + (layout.size ?? 0);
  let place = first;
  let known = false; // whether the first that follows is a tag, or a file of another kind
  for (let number = 0; number < MOST_CHUNKS; number++) {
    if (place >= total) return { follows: "nothing", at: total };
    let found = null;
    // Some leave out the byte that makes the length even.
    for (const at of new Set([place + ((place - layout.at) % 2), place])) {
      found ??= await passChunk(source, layout, at, total);
      const head = text(await source.read(at, 8), 0, 8);
      if (!number && (TAG.test(head) || OTHER_FORMS.test(head) || head.startsWith("RIFF"))) known = true;
    }
    if (found === null || (layout.size === null && !known)) break;
    if (typeof found === "object") return { follows: "recording", at: found };
    place = found;
  }
  if (layout.size === null && !known) return { follows: "sound", at: first };
  if (total - place <= JUNK || (await isZero(source, place))) return { follows: "padding", at: place };
  return known ? { follows: "other", at: place } : { follows: "sound", at: first };
}

/** Where the chunk or tag ends that starts here, or the layout of the recording; null for anything else. */
async function passChunk(source, layout, at, total) {
  const found = await findLayout(source, at);
  if (found) return found;
  const head = await source.read(at, 24);
  const name = text(head, 0, 8);
  if (OTHER_FORMS.test(name)) return { at, format: null };
  if (head.byteLength < 8 || name.startsWith("RIFF")) return null;
  const size = head.getUint32(4, true);
  let end = null;
  if (name.startsWith("TAG")) end = at + 128;
  else if (name === "APETAGEX") end = head.byteLength < 16 ? null : at + 32 + head.getUint32(12, true);
  else if (name.startsWith("ID3") && name[3] !== " ") {
    if (head.byteLength >= 10) end = at + 10 + [6, 7, 8, 9].reduce((sum, i) => sum * 128 + head.getUint8(i), 0);
  } else if (name.startsWith("data")) {
    return { ...layout, at, start: at + 8, size: meant(source, at + 8, size) };
  } else if (/^[ -~]{4}/.test(name)) end = at + 8 + size;
  return end === null || end > total + 1 ? null : end;
}

/** The next recording that starts between two places, where no size says at which; or null. */
async function findNext(source, place, total) {
  const end = Math.min(total, place + SEARCHED);
  for (let start = place, tries = 0; start < end; start += BLOCK) {
    const block = latin(await source.read(start, Math.min(BLOCK, end - start) + 3));
    for (let at = block.indexOf("RIFF"); at >= 0 && tries < MOST_TRIES; at = block.indexOf("RIFF", at + 1), tries++) {
      const found = await findLayout(source, start + at, MOST_CHUNKS_OF_A_TRY).catch(() => null);
      if (found) return found;
    }
  }
  return null;
}

/** Where the tags start that end at a place, not before another; that place if there are none. */
async function beforeTags(source, place, end) {
  const first = Math.max(place, end - TAIL);
  const tail = await source.read(first, end - first);
  const places = [...latin(tail).matchAll(TAGS)].map(({ index }) => index).slice(-MOST_CHUNKS);
  const tags = places
    .filter((at) => at + 8 <= tail.byteLength)
    .map((at) => [first + at, first + at + 8 + tail.getUint32(at + 4, true)]);
  for (;;) {
    const found = tags.find(([at, itsEnd]) => at < end && Math.abs(itsEnd - end) <= 1);
    if (!found) return end;
    end = found[0];
  }
}

async function isZero(source, start) {
  for (let at = start; at < source.size; at += BLOCK) {
    if (new Uint8Array((await source.read(at, BLOCK)).buffer).some((byte) => byte)) return false;
  }
  return true;
}

/** Reads a file, and keeps a block of it for the many small parts of headers. */
class Source {
  constructor(file) {
    this.file = file;
    this.size = file.size;
    this.start = 0;
    this.block = new ArrayBuffer(0);
  }

  /** So many bytes, or fewer at the end, as a DataView of their own. */
  async read(start, size) {
    if (size > 64) return new DataView(await this.file.slice(start, start + size).arrayBuffer());
    const end = Math.min(start + size, this.size);
    if (start < this.start || end > this.start + this.block.byteLength) {
      this.start = start;
      this.block = await this.file.slice(start, start + 4096).arrayBuffer();
    }
    return new DataView(this.block.slice(start - this.start, Math.max(start, end) - this.start));
  }
}

function latin(data) {
  return new TextDecoder("latin1").decode(data);
}

/** ASCII at an offset; shorter if the data end there. */
function text(data, at, length) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset + at, Math.max(0, Math.min(length, data.byteLength - at)));
  return String.fromCharCode(...bytes);
}
