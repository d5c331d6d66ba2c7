// What mediabunny does not read in headers: how much an encoder added at both ends, and lengths that were never entered.

const HEAD = 1 << 16; // bytes; more than a header has in front of the sound
const CLUSTER = 0x1f43b675; // of Matroska: here the sound begins
const OGG_PAGE = 0x4f676753; // "OggS"
const CODEC_DELAY = 0x56aa;
const PLACEHOLDER = 0x7fff0000; // a larger size of samples is not meant
const JUNK = 64; // bytes; what follows the samples is no sound if it is not longer
const TAGS = /^(LIST|bext|id3 |ID3|iXML|_PMX|cue |smpl|fact|JUNK|junk|PAD |FLLR|inst|acid|PEAK|umid|axml|chna|afsp|info|TAG|APET)/;
const DECODER_DELAY = 529; // samples by which every MP3 decoder is late

/**
 * What the first frame of an MP3 file states: {frames: how many follow, or null; start, end: samples to drop there}.
 *
 * @param {Blob} file
 */
export async function mp3Padding(file) {
  const tag = await read(file, 0, 10);
  // Tags come first; each byte holds seven bits of their size.
  const sevens = tag.byteLength === 10 && text(tag, 0, 3) === "ID3" ? [6, 7, 8, 9] : [];
  const skipped = sevens.reduce((size, at) => size * 128 + (tag.getUint8(at) & 127), 0);
  const data = await read(file, skipped && skipped + 10, 2048);
  const at = text(data, 0, data.byteLength).search(/Xing|Info/);
  if (at < 0 || data.byteLength < at + 144) return { frames: null, start: 0, end: 0 };
  const flags = data.getUint8(at + 7);
  const frames = flags & 1 ? data.getUint32(at + 8) : null;
  const encoder = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) / 2;
  if (!/^(LAME|Lav[fc])/.test(text(data, encoder, 4))) return { frames, start: 0, end: 0 };
  const start = (data.getUint16(encoder + 21) >> 4) + DECODER_DELAY;
  const end = Math.max(0, (data.getUint16(encoder + 22) & 4095) - DECODER_DELAY);
  return { frames, start, end };
}

/** The seconds that an encoder added in front of the first sound track with such a delay, as a Matroska file states. */
export async function matroskaDelay(file) {
  const data = await read(file, 0, HEAD);
  for (let at = 0; at + 8 < data.byteLength && data.getUint32(at) !== CLUSTER; at++) {
    const bytes = data.getUint8(at + 2) & 127;
    if (data.getUint16(at) !== CODEC_DELAY || data.getUint8(at + 2) < 128 || bytes > 4) continue;
    let nanoseconds = 0;
    for (let i = 0; i < bytes; i++) nanoseconds = nanoseconds * 256 + data.getUint8(at + 3 + i);
    if (nanoseconds < 2e8) return nanoseconds / 1e9;
  }
  return 0;
}

/**
 * A WAV file with its sizes, {file, note}: a program that writes to a pipe cannot go back to enter them and leaves 0, one
 * that crashed leaves an old one, and files are joined with `cat`. See src/audioinceptionnext/audio/chunks.py.
 *
 * note(seconds): a line about it, or null, if so many seconds were decoded.
 */
export async function withSizes(file) {
  const first = await wavLayout(file, 0);
  const asItIs = { file, note: () => null };
  if (!first) return asItIs;
  const spans = [];
  let [layout, left, stated] = [first, 0, null];
  for (;;) {
    let end = layout.size && layout.size < PLACEHOLDER ? layout.start + layout.size : Infinity;
    let follows = null;
    if (end < file.size) {
      const place = end + (end % 2);
      const next = await read(file, place, 12);
      if (text(next, 0, 4) === "RIFF") follows = await wavLayout(file, place);
      else if (isTag(next) || file.size - end <= JUNK || (await isZero(file, end))) follows = null;
      else {
        stated = spans.reduce((sum, [from, to]) => sum + to - from, 0) + layout.size;
        end = Infinity;
      }
    } else if (!layout.size && isTag(await read(file, layout.start, 12))) {
      end = layout.start; // no samples, and tags
    }
    spans.push([layout.start, Math.min(end, file.size)]);
    if (!follows) break;
    if (follows.format !== first.format) {
      left = file.size - follows.at;
      break;
    }
    layout = follows;
  }
  if (spans.length === 1 && stated === null && first.whole && first.size) {
    const end = first.start + first.size;
    return left ? { file: file.slice(0, end), note: () => leftOut(left) } : asItIs;
  }
  const present = spans.reduce((sum, [from, to]) => sum + to - from, 0);
  const head = await read(file, 0, first.start);
  head.setUint32(4, 0xffffffff);
  if (!first.size || stated !== null || spans.length > 1) head.setUint32(first.start - 4, Math.min(present, 0xffffffff), true);
  const note = (seconds) => {
    const parts = [];
    if (stated !== null) {
      const short = ((seconds * stated) / present).toFixed(1);
      parts.push(`the header states ${short} s of sound; all ${seconds.toFixed(1)} s that are there were decoded`);
    }
    if (spans.length > 1) parts.push(`${spans.length} recordings follow each other in the file and were joined`);
    if (left) parts.push(leftOut(left));
    return parts.join("; ") || null;
  };
  return { file: new Blob([head, ...spans.map(([from, to]) => file.slice(from, to))]), note };
}

function leftOut(bytes) {
  return `another recording follows in the file and was left out (${Math.round(bytes / 1000)} kB)`;
}

/** Where the samples of a WAV file are that starts at a place of a file: {at, start, size, whole, format}; or null. */
async function wavLayout(file, place) {
  const data = await read(file, place, HEAD);
  if (data.byteLength < 44 || text(data, 0, 4) !== "RIFF") return null;
  let format = "";
  for (let at = 12; at + 8 <= data.byteLength;) {
    const size = data.getUint32(at + 4, true);
    if (text(data, at, 4) === "fmt ") format = text(data, at + 8, size);
    if (text(data, at, 4) === "data")
      return { at: place, start: place + at + 8, size, whole: data.getUint32(4, true), format };
    at += 8 + size + (size % 2);
  }
  return null;
}

function isTag(data) {
  return !data.byteLength || TAGS.test(text(data, 0, 4));
}

async function isZero(file, start) {
  for (let at = start; at < file.size; at += 1 << 20) {
    if (new Uint8Array((await read(file, at, 1 << 20)).buffer).some((byte) => byte)) return false;
  }
  return true;
}

async function read(file, start, size) {
  return new DataView(await file.slice(start, start + size).arrayBuffer());
}

/** How many samples an Ogg file has, as its last page states; null if it does not. */
export async function oggSamples(file) {
  const tail = await read(file, Math.max(0, file.size - HEAD), HEAD); // a page is not longer than that
  let at = tail.byteLength - 14;
  while (at >= 0 && tail.getUint32(at) !== OGG_PAGE) at -= 1;
  if (at < 0) return null;
  const samples = Number(tail.getBigInt64(at + 6, true));
  return samples > 0 ? samples : null;
}

/** ASCII at an offset; shorter if the data end there. */
function text(data, at, length) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset + at, Math.max(0, Math.min(length, data.byteLength - at)));
  return String.fromCharCode(...bytes);
}
