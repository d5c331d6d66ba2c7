// What came from the microphone, kept as a recording: sound as a WAV file, answers as what was heard.

import { quantile, stretched } from "./spectrogram.js";

const MOST_S = 600; // of sound that is kept; the timeline goes on
const COLUMNS = 8000; // of the log-mel; beyond, two neighbours become one

export class Recording {
  constructor(rate) {
    this.rate = rate;
    this.pieces = [];
    this.samples = 0;
    this.answers = 0;
    this.end = 0;
    this.segments = [];
    this.sums = new Map();
    this.columns = [];
    this.each = 1; // frames in a column
    this.rest = [];
    this.mel = null;
  }

  /** samples: Float32Array. */
  add(samples) {
    if (this.samples >= MOST_S * this.rate) return;
    this.pieces.push(Int16Array.from(samples, (v) => Math.max(-1, Math.min(1, v)) * 32767));
    this.samples += samples.length;
  }

  /** answer: see server.js. */
  hear(answer) {
    this.end = Math.max(this.end, answer.end);
    this.segments.push(...answer.segments);
    if (answer.label) this.answers++;
    for (const { label, score } of answer.top) this.sums.set(label, (this.sums.get(label) ?? 0) + score);
    if (!answer.log_mel) return;
    this.mel = answer.log_mel;
    const { bands, columns, data } = answer.log_mel;
    for (let column = 0; column < columns; column++) this.#column(data.subarray(column * bands, (column + 1) * bands));
  }

  #column(frame) {
    this.rest.push(frame);
    if (this.rest.length < this.each) return;
    this.columns.push(mean(this.rest));
    this.rest = [];
    if (this.columns.length < COLUMNS) return;
    this.columns = this.columns.flatMap((one, i) => (i % 2 ? [mean([this.columns[i - 1], one])] : []));
    this.each *= 2;
  }

  /** As an engine's predict gives it. */
  heard(model) {
    const best = [...this.sums].map(([label, sum]) => ({ label, score: sum / Math.max(1, this.answers) }));
    const log_mel = this.mel && { ...this.mel, columns: this.columns.length, data: this.#picture() };
    const segments = this.segments.sort((a, b) => a.start - b.start);
    const clip = best.sort((a, b) => b.score - a.score).slice(0, 5);
    return { file: `recording ${stamp(new Date())}.wav`, duration: this.end, model, clip, segments, log_mel };
  }

  #picture() {
    const data = joined(this.columns, this.mel.bands);
    return stretched(data, quantile(data, 0.08), quantile(data, 0.997));
  }

  /** A WAV file of 16 bits, mono. */
  wav() {
    const header = new DataView(new ArrayBuffer(44));
    const text = (at, word) => [...word].forEach((sign, i) => header.setUint8(at + i, sign.charCodeAt(0)));
    text(0, "RIFF");
    header.setUint32(4, 36 + 2 * this.samples, true);
    text(8, "WAVEfmt ");
    header.setUint32(16, 16, true);
    header.setUint16(20, 1, true);
    header.setUint16(22, 1, true);
    header.setUint32(24, this.rate, true);
    header.setUint32(28, 2 * this.rate, true);
    header.setUint16(32, 2, true);
    header.setUint16(34, 16, true);
    text(36, "data");
    header.setUint32(40, 2 * this.samples, true);
    return new Blob([header, ...this.pieces], { type: "audio/wav" });
  }
}

function mean(frames) {
  if (frames.length === 1) return frames[0];
  return Uint8Array.from(frames[0], (_, band) => frames.reduce((sum, frame) => sum + frame[band], 0) / frames.length);
}

function joined(columns, bands) {
  const data = new Uint8Array(columns.length * bands);
  columns.forEach((column, at) => data.set(column, at * bands));
  return data;
}

function stamp(date) {
  const two = (value) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}.${two(date.getMinutes())}.${two(date.getSeconds())}`;
}
