// The sound track of a recording, decoded block by block and in spite of damage: what
// src/audioinceptionnext/audio/soundtrack.py does with FFmpeg, done with mediabunny and the browser's decoders.

import {
  ADTS,
  BlobSource,
  FLAC,
  Input,
  Logging,
  LogLevel,
  MATROSKA,
  MP3,
  MP4,
  MPEG_TS,
  OGG,
  QTFF,
  WAVE,
  WEBM,
} from "mediabunny";
import { Mixdown } from "../../src/audioinceptionnext/page/mixdown.js";
import { withSizes } from "./chunks.js";
import { canDecode, Decoder } from "./decoder.js";
import { matroskaDelay, mp3Padding, oggSamples } from "./headers.js";
import { concatenate } from "./numbers.js";
import { audibleTrack } from "./tracks.js";
import { finite, MAX_RATE, MIN_RATE, Resampler } from "./resample.js";

const FORMATS = [WAVE, MP3, MP4, QTFF, MATROSKA, WEBM, OGG, FLAC, ADTS, MPEG_TS];
const GAP_S = 0.1; // smaller gaps are ignored, since time stamps are rounded and clocks drift
const DAMAGED_GAP_S = 0.005; // the same after a damaged packet, which certainly leaves a gap
const LATE_S = 0.02; // a sound track that starts later than this after the picture gets silence in front
const UNSTATED_S = 3600; // how much silence time stamps may add in a file that does not state its length
const STATED_S = 12 * 3600; // the same where it does: a damaged time stamp may have decided what is stated
const LAST_PACKET = 4096; // samples; the last packet has no more padding than this
const CUT_FRAME = 2048; // bytes that may lack in the last frame of an MP3 file

Logging.level = LogLevel.Silent; // pages show an error themselves

/** An error whose message is one line about the recording. */
class RecordingError extends Error {}

export class SoundTrack {
  /**
   * Opens a file, which is to be closed.
   *
   * @param {Blob} file
   * @param {string} name of the file, for messages
   * @throws {Error} one line that says what is wrong with the file
   */
  static async open(file, name) {
    if (!file.size) throw new Error(`${name}: is empty (0 bytes): copy or record it again.`);
    const track = new SoundTrack(file, name);
    try {
      await track.#open();
      return track;
    } catch (error) {
      track.close();
      if (error instanceof RecordingError) throw error;
      throw new RecordingError(
        `${name}: not a recording that browsers can read, or damaged at its start: convert it to WAV, or use ainext predict.`,
      );
    }
  }

  constructor(file, name) {
    this.file = file;
    this.name = name;
    this.input = this.track = null; // mediabunny's
    this.mixdown = new Mixdown();
    this.length = null; // seconds that the file states; null if it does not
    this.first = this.lead = 0; // seconds: the first time stamp, and how long silence lasts before the sound
    this.skip = 0; // seconds that the encoder added at the start
    this.preSkip = 0; // seconds of those that the decoder itself drops
    this.delay = 0; // seconds by which time stamps are late
    this.padding = null; // of an MP3 file, see `mp3Padding`
    this.stated = null; // seconds that the sound lasts, as the header states it
    this.seconds = this.missing = 0; // decoded so far, gaps included; in gaps that no damaged packet explains
    this.unbelieved = 0; // seconds of the largest gap that cannot be
    this.notes = []; // lines about the file
  }

  close() {
    this.input?.dispose();
  }

  async #open() {
    const { name } = this;
    const { file, note } = await withSizes(this.file);
    this.headerNote = note;
    this.input = inputOf(file);
    const format = await this.input.getFormat();
    if (format === MP3) {
      this.close();
      this.input = inputOf(new Blob([this.file, new Uint8Array(CUT_FRAME)])); // so that the last frame can be read
    }
    const { track, note: trackNote } = await audibleTrack(await this.input.getAudioTracks());
    this.track = track;
    if (trackNote) this.notes.push(trackNote);
    if (!this.track) throw new RecordingError(`${name}: has no sound that browsers can read: use ainext predict.`);
    const rate = await this.track.getSampleRate();
    if (!(rate >= MIN_RATE && rate <= MAX_RATE && (await this.track.getNumberOfChannels()) > 0))
      throw new RecordingError(`${name}: its header is damaged (${rate} samples per second): get a whole copy.`);
    if (!(await canDecode(this.track))) {
      const reason =
        typeof AudioDecoder === "undefined"
          ? `this browser decodes only WAV files here: ${globalThis.isSecureContext ? "use a newer one" : "open the page over https"}, or convert it to WAV`
          : `this browser cannot decode its sound: convert it to WAV, or use ainext predict`;
      throw new RecordingError(`${name}: ${reason}.`);
    }
    this.length = await this.input.getDurationFromMetadata();
    await this.#readDelays(format, rate);
    await this.#readStart(format);
    // The sound of an MP3 file may be as long as its size suggests, and that of Matroska as long as its pictures.
    const knows = format === MP3 ? this.padding.frames : !isMatroska(format) || (await this.input.getTracks()).length === 1;
    const end = await this.track.getDurationFromMetadata();
    if (knows && end) this.stated = end - this.first;
    // A page of Ogg that is missing, and a pause, are not seen otherwise.
    const samples = format === OGG && this.first < GAP_S ? await oggSamples(this.file) : null;
    if (samples) this.stated = samples / (this.preSkip ? 48000 : rate) - this.preSkip;
  }

  async #readDelays(format, rate) {
    const { codec, description } = await this.track.getDecoderConfig();
    // The header of Opus states how much its decoder drops.
    if (codec === "opus" && description) this.preSkip = viewOf(description).getUint16(10, true) / 48000;
    if (format === MP3) {
      this.padding = await mp3Padding(this.file);
      this.skip = this.padding.start / rate;
    }
    if (isMatroska(format)) {
      this.delay = (await matroskaDelay(this.file)) || this.preSkip;
      if (codec !== "opus" && codec !== "vorbis") this.skip = this.delay; // their decoders drop it themselves
    }
  }

  /**
   * In a player, time 0 of a video is its first picture, so a sound track that starts later keeps its delay, and so does
   * one that starts later than another one. Otherwise, time 0 is where the file's time stamps begin to count, or the
   * first sample where they start anywhere.
   */
  async #readStart(format) {
    const start = await this.track.getFirstTimestamp();
    if (start + this.preSkip < 0) this.skip = -(start + this.preSkip); // from an edit list
    this.first = Math.max(0, start - this.delay + this.skip + this.preSkip);
    const pictures = await this.input.getVideoTracks();
    const fromZero = isMatroska(format) || format === MP4 || format === QTFF;
    const sounds = fromZero ? [] : await this.input.getAudioTracks();
    const others = pictures.length ? pictures : sounds.length > 1 ? sounds : [];
    const starts = await Promise.all(others.map((other) => other.getFirstTimestamp()));
    const zero = starts.length ? Math.min(this.first, ...starts) : fromZero || format === OGG ? 0 : this.first;
    const lead = this.first - zero;
    const longest = starts.length ? (this.length ?? UNSTATED_S) : fromZero ? UNSTATED_S : 0;
    if (lead >= LATE_S && lead <= longest) {
      this.lead = lead;
      if (!pictures.length && lead > GAP_S) this.notes.push(`the sound starts at ${lead.toFixed(1)} s, after silence`);
    } else if (lead > GAP_S) {
      this.notes.push(`the time stamps start at ${lead.toFixed(1)} s; times count from the first sound instead`);
    }
  }

  /**
   * Consecutive blocks of about a second, mono Float32Arrays. To be read once.
   *
   * @param {number} sampleRate of the blocks, in Hz
   * @throws {Error} one line: the sound cannot be decoded
   */
  async *waveform(sampleRate) {
    yield* silence(this.lead, sampleRate);
    const decoder = (this.decoder = new Decoder(this.track));
    let resampler = null;
    for await (const { samples, rate } of this.#blocks(decoder)) {
      if (resampler?.rate !== rate) {
        if (resampler) yield resampler.finish();
        resampler = new Resampler(rate, sampleRate);
      }
      yield resampler.push(samples);
    }
    if (!resampler || decoder.damaged > decoder.frames)
      throw new RecordingError(`${this.name}: no sound could be decoded: it is empty or damaged; get a whole copy.`);
    yield resampler.finish();
  }

  /** Lines that say what was lost; to be called when the waveform has been read to its end. */
  warnings() {
    const found = [];
    const stated = this.stated;
    // Headers round, and encoders count their padding, so a tenth of a second is no loss.
    if (stated !== null && this.seconds < stated - 0.1 - stated / 1000)
      found.push(`ends early: decoded ${this.seconds.toFixed(1)} s of ${stated.toFixed(1)} s`);
    else if (this.decoder.failed) found.push(`ends early: decoded ${this.seconds.toFixed(1)} s, the rest cannot be read`);
    const { damaged } = this.decoder;
    if (damaged) found.push(`skipped ${damaged} damaged packet${damaged > 1 ? "s" : ""}`);
    if (this.missing) found.push(`${this.missing.toFixed(1)} s are missing and were replaced by silence`);
    if (this.unbelieved > GAP_S)
      found.push(`the time stamps jump by ${this.unbelieved.toFixed(1)} s, which was ignored: later times may be early`);
    const note = this.headerNote(this.seconds);
    const mixed = this.mixdown.warning();
    if (mixed) found.push(mixed);
    return [...found, ...(note ? [note] : []), ...this.notes];
  }

  /** Joins frames, {samples, rate}, to blocks of a second, and drops the padding at the end. */
  async *#blocks(decoder) {
    const last = { samples: 0, packet: null };
    let parts = [];
    let [count, rate] = [0, 0];
    for await (const frame of this.#frames(decoder, last)) {
      if (count && (count >= rate || frame.rate !== rate)) {
        yield { samples: concatenate(parts), rate };
        [parts, count] = [[], 0];
      }
      rate = frame.rate;
      parts.push(frame.samples);
      count += frame.samples.length;
    }
    if (!count) return;
    const stated = Math.round((last.packet?.duration ?? 0) * rate);
    let excess = this.padding?.frames === decoder.frames ? this.padding.end : stated && last.samples - stated;
    if (excess < 0 || excess > LAST_PACKET) excess = 0;
    this.seconds -= excess / rate;
    yield { samples: concatenate(parts).subarray(0, Math.max(0, count - excess)), rate };
  }

  /**
   * The decoded frames, {samples, rate}, with silence where time stamps leave a gap: cameras and screen recorders pause,
   * and damaged packets vanish. `last` is told of each frame.
   */
  async *#frames(decoder, last) {
    const end = this.first + (this.length ?? Infinity); // later time stamps are damaged
    let left = this.length === null ? UNSTATED_S : STATED_S; // seconds that gaps may still take
    let clock = null; // where the next frame should begin
    let damaged = 0;
    for await (const { sample, packet, restarted } of decoder.run()) {
      const rate = sample.sampleRate;
      let samples = this.mixdown.mix(channelsOf(sample), rate);
      const time = packet ? packet.timestamp - this.delay + (restarted ? this.preSkip : 0) : clock;
      clock ??= time ?? 0;
      const gap = time - clock;
      const counts = gap > (decoder.damaged > damaged ? DAMAGED_GAP_S : GAP_S);
      const believed = time < end && gap <= left;
      if (counts && !believed) this.unbelieved = Math.max(this.unbelieved, gap);
      if (counts && believed) {
        left -= gap;
        if (decoder.damaged === damaged) this.missing += gap;
        for (const zeros of silence(gap, rate)) yield { samples: zeros, rate };
        this.seconds += gap;
        clock = time;
      }
      damaged = decoder.damaged;
      clock += samples.length / rate;
      Object.assign(last, { samples: samples.length, packet });
      if (this.skip > 0) {
        const dropped = Math.min(samples.length, Math.round(this.skip * rate));
        this.skip = dropped < samples.length ? 0 : this.skip - dropped / rate;
        samples = samples.subarray(dropped);
      }
      this.seconds += samples.length / rate;
      yield { samples, rate };
    }
  }
}

function inputOf(blob) {
  return new Input({ formats: FORMATS, source: new BlobSource(blob) });
}

function isMatroska(format) {
  return format === MATROSKA || format === WEBM;
}

function viewOf(data) {
  return ArrayBuffer.isView(data) ? new DataView(data.buffer, data.byteOffset, data.byteLength) : new DataView(data);
}

/** The channels of a sample, which is closed. */
function channelsOf(sample) {
  const channels = Array.from({ length: sample.numberOfChannels }, (_, planeIndex) => {
    const channel = new Float32Array(sample.numberOfFrames);
    sample.copyTo(channel, { planeIndex, format: "f32-planar" });
    return finite(channel);
  });
  sample.close();
  return channels;
}

function* silence(seconds, rate) {
  for (let left = Math.round(seconds * rate); left > 0; left -= rate) yield new Float32Array(Math.min(left, rate));
}
