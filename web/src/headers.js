// Finds a file's own sampling rate in its header. Browsers decode to any rate that they are asked for, and do not say
// which one is the file's own. Asked for that one, they do not resample, so that it can be done as Python does it.

const AAC_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const MPEG_RATES = { 3: [44100, 48000, 32000], 2: [22050, 24000, 16000], 0: [11025, 12000, 8000] }; // by version
const PROBE_BYTES = 1 << 16;

/**
 * The rate in Hz; null if the header does not state it, or is of a format that is not read here.
 *
 * @param {Blob} blob
 */
export async function nativeRate(blob) {
  const data = await read(blob, await tagSize(blob), PROBE_BYTES);
  if (data.byteLength < 16) return null;
  const magic = text(data, 0, 4);
  let rate = null;
  try {
    if (magic === "RIFF" || magic === "RF64") rate = data.getUint32(24, true);
    else if (magic === "fLaC") rate = flacRate(data, 8);
    else if (magic === "OggS") rate = oggRate(data);
    else if (data.getUint32(0) === 0x1a45dfa3) rate = await matroskaRate(blob);
    else if (BOXES.has(text(data, 4, 4))) rate = await mp4Rate(blob);
    else rate = mpegRate(data);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends within its header
  }
  return rate >= 100 && rate <= 1_536_000 ? rate : null;
}

/** The length of the ID3 tag, which holds names and pictures, before the sound. */
async function tagSize(blob) {
  const head = await read(blob, 0, 10);
  if (head.byteLength < 10 || text(head, 0, 3) !== "ID3") return 0;
  return [6, 7, 8, 9].reduce((size, at) => size * 128 + (head.getUint8(at) & 127), 0) + 10;
}

function flacRate(data, at) {
  return (data.getUint32(at + 10) >>> 12) & 0xfffff;
}

/** Each of the first pages of an Ogg file holds the header of one track. */
function oggRate(data) {
  for (let at = 0; text(data, at, 4) === "OggS";) {
    const segments = data.getUint8(at + 26);
    const body = at + 27 + segments;
    if (text(data, body, 8) === "OpusHead") return 48000;
    if (text(data, body, 7) === "\x01vorbis") return data.getUint32(body + 12, true);
    if (text(data, body, 5) === "\x7fFLAC") return flacRate(data, body + 17);
    if (text(data, body, 8) === "Speex   ") return data.getUint32(body + 36, true);
    at = body;
    for (let i = 0; i < segments; i++) at += data.getUint8(body - segments + i);
  }
  return null;
}

/** MP3, or AAC without a container: the rate of two frames that follow each other. */
function mpegRate(data) {
  for (let at = 0; at + 8 < data.byteLength; at++) {
    if (data.getUint8(at) !== 0xff) continue;
    const frame = mpegFrame(data, at);
    if (frame && mpegFrame(data, at + frame.size)?.rate === frame.rate) return frame.rate;
  }
  return null;
}

const KBITS = {
  31: [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448], // MPEG 1, layer I
  32: [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  33: [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  21: [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256], // MPEG 2 and 2.5
  22: [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  23: [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};

function mpegFrame(data, at) {
  if (at + 6 > data.byteLength || data.getUint8(at) !== 0xff || data.getUint8(at + 1) < 0xe0) return null;
  const [second, third] = [data.getUint8(at + 1), data.getUint8(at + 2)];
  const layer = 4 - ((second >> 1) & 3);
  if (layer === 4) return adtsFrame(data, at);
  const version = (second >> 3) & 3;
  const rate = MPEG_RATES[version]?.[(third >> 2) & 3];
  const kbits = KBITS[(version === 3 ? 30 : 20) + layer][(third >> 4) - 1];
  if (!rate || !kbits) return null;
  const padding = (third >> 1) & 1;
  if (layer === 1) return { rate, size: (Math.floor((12000 * kbits) / rate) + padding) * 4 };
  const samples = layer === 3 && version !== 3 ? 576 : 1152;
  return { rate, size: Math.floor((samples * 125 * kbits) / rate) + padding };
}

function adtsFrame(data, at) {
  const core = AAC_RATES[(data.getUint8(at + 2) >> 2) & 15];
  const size = (data.getUint32(at + 2) >>> 5) & 0x1fff; // 13 bits from bit 30 of the header on
  if ((data.getUint8(at + 1) & 0xf6) !== 0xf0 || !core || size < 7) return null;
  // A rate this low is nearly always that of HE-AAC's core, half of its output's, which this header does not state.
  return { rate: core <= 24000 ? 2 * core : core, size };
}

const BOXES = new Set(["ftyp", "moov", "mdat", "free", "skip", "wide", "pnot"]);

/** The first sound track of an MP4 or QuickTime file. */
async function mp4Rate(blob) {
  const index = await box(blob, "moov");
  if (!index) return null;
  for (const track of boxes(index, "trak")) {
    const [media] = boxes(track, "mdia");
    const [handler] = boxes(media, "hdlr");
    if (text(handler, 8, 4) !== "soun") continue;
    const entry = ["minf", "stbl", "stsd"].reduce((inside, name) => boxes(inside, name)[0], media);
    const described = configuredRate(entry);
    if (described) return described;
    const [header] = boxes(media, "mdhd");
    const clock = header.getUint32(header.getUint8(0) === 1 ? 20 : 12); // ticks per second: mostly the rate, not always
    const stated = entry.byteLength >= 44 ? entry.getUint16(40) : 0; // too few bits for some rates
    return stated >= 8000 ? stated : clock;
  }
  return null;
}

/** The rate of AAC from its configuration, for HE-AAC that of its output if stated; null for anything else. */
function configuredRate(entry) {
  let at = 16;
  while (at + 4 < entry.byteLength && text(entry, at, 4) !== "esds") at += 1;
  let length = 0;
  const enter = (tag) => {
    const found = entry.getUint8(at++) === tag;
    for (let more = true; more; at++) {
      more = entry.getUint8(at) > 127;
      length = more ? length : entry.getUint8(at); // all but the last seven bits are 0 here
    }
    return found;
  };
  if (text(entry, 12, 4) !== "mp4a" || at + 30 > entry.byteLength) return null;
  at += 8;
  if (!enter(3)) return null;
  at += 3;
  if (!enter(4) || entry.getUint8(at) !== 0x40) return null; // 0x40: AAC
  at += 13;
  return enter(5) ? aacRate(entry, at, length) : null;
}

function aacRate(data, at, length) {
  if (length < 2 || length > 64 || at + length > data.byteLength) return null;
  const bits = (from, count) => {
    let value = 0;
    for (let i = from; i < from + count; i++) value = value * 2 + ((data.getUint8(at + (i >> 3)) >> (7 - (i & 7))) & 1);
    return value;
  };
  const kind = bits(0, 5);
  const core = AAC_RATES[bits(5, 4)];
  if (kind === 5 || kind === 29) return AAC_RATES[bits(13, 4)] ?? null;
  if (length >= 5 && bits(16, 11) === 0x2b7 && bits(32, 1)) return AAC_RATES[bits(33, 4)] ?? null;
  return kind === 2 && core ? core : null;
}

/** The content of an outermost box, wherever it lies; null if there is none. */
async function box(blob, name) {
  for (let at = 0; at + 8 <= blob.size;) {
    const head = await read(blob, at, 16);
    const short = head.getUint32(0);
    const size = short === 1 ? Number(head.getBigUint64(8)) : short || blob.size - at;
    if (text(head, 4, 4) === name) return size < 1 << 28 ? read(blob, at + (short === 1 ? 16 : 8), size - 8) : null;
    if (size < 8) return null;
    at += size;
  }
  return null;
}

function boxes(data, name) {
  const found = [];
  for (let at = 0; at + 8 <= data.byteLength;) {
    const size = data.getUint32(at);
    if (size < 8) break;
    const end = Math.min(at + size, data.byteLength);
    if (text(data, at + 4, 4) === name) found.push(new DataView(data.buffer, data.byteOffset + at + 8, end - at - 8));
    at += size;
  }
  return found;
}

const [SEGMENT, TRACKS, ENTRY, KIND, CODEC, AUDIO] = [0x18538067, 0x1654ae6b, 0xae, 0x83, 0x86, 0xe1];
const [RATE, OUTPUT_RATE, AUDIO_TRACK] = [0xb5, 0x78b5, 2];

/** The first sound track of a Matroska or WebM file. */
async function matroskaRate(blob) {
  const data = await read(blob, 0, 1 << 22); // tracks come before the sound
  for (const segment of elements(data, SEGMENT)) {
    for (const entry of elements(segment, TRACKS).flatMap((tracks) => elements(tracks, ENTRY))) {
      const [kind] = elements(entry, KIND);
      if (kind?.getUint8(kind.byteLength - 1) !== AUDIO_TRACK) continue;
      const [codec] = elements(entry, CODEC);
      if (codec && text(codec, 0, 6) === "A_OPUS") return 48000;
      const [audio] = elements(entry, AUDIO);
      const [rate] = audio ? [...elements(audio, OUTPUT_RATE), ...elements(audio, RATE)] : [];
      if (!rate) return 8000; // the format's default
      return rate.byteLength === 8 ? rate.getFloat64(0) : rate.getFloat32(0);
    }
  }
  return null;
}

/** The contents of the elements with an id; one that extends beyond the data is cut. */
function elements(data, id) {
  const found = [];
  for (let at = 0; at + 2 <= data.byteLength;) {
    const [name, named] = variable(data, at, false);
    const [size, start] = variable(data, named, true);
    const end = Math.min(start + size, data.byteLength);
    if (name === id) found.push(new DataView(data.buffer, data.byteOffset + start, end - start));
    at = start + size;
  }
  return found;
}

/** A number of EBML and where it ends. A size lacks the bit that marks its length, and is unknown if all bits are 1. */
function variable(data, at, isSize) {
  const first = data.getUint8(at);
  const length = Math.clz32(first) - 23;
  let value = isSize ? first & (255 >> length) : first;
  let ones = value === 255 >> length;
  for (let i = 1; i < length; i++) {
    value = value * 256 + data.getUint8(at + i);
    ones &&= data.getUint8(at + i) === 255;
  }
  return [isSize && ones ? Infinity : value, at + length];
}

async function read(blob, start, size) {
  return new DataView(await blob.slice(start, start + size).arrayBuffer());
}

/** ASCII at an offset; shorter if the data end there. */
function text(data, at, length) {
  let found = "";
  for (let i = at; i < Math.min(at + length, data.byteLength); i++) found += String.fromCharCode(data.getUint8(i));
  return found;
}
