// Keeps what comes from the microphone: the samples as a WAV file, the steps as a Result (see server.js).

import { quantile, stretchContrast } from "./spectrogram.js";

const MAX_SECONDS = 600; // of samples that are kept; the timeline goes on
const MAX_COLUMNS = 8000; // of the log-mel; when it has that many, two neighbours become one

export class Recording {
  constructor(rate) {
    this.rate = rate;
    this.blocks = [];
    this.samples = 0;
    this.loudSteps = 0; // steps that are not digital silence
    this.end = 0;
    this.segments = [];
    this.warnings = [];
    this.scoreSums = new Map();
    this.columns = [];
    this.framesPerColumn = 1;
    this.rest = []; // frames that do not fill a column yet
    this.logMel = null; // of the last step
  }

  /** samples: Float32Array. */
  addSamples(samples) {
    if (this.samples >= MAX_SECONDS * this.rate) return;
    this.blocks.push(Int16Array.from(samples, (v) => Math.max(-1, Math.min(1, v)) * 32767));
    this.samples += samples.length;
  }

  addStep(step) {
    this.end = Math.max(this.end, step.end);
    this.segments.push(...step.segments);
    if (step.label) this.loudSteps++;
    for (const [label, score] of Object.entries(step.probabilities)) this.scoreSums.set(label, (this.scoreSums.get(label) ?? 0) + score);
    if (!step.log_mel) return;
    this.logMel = step.log_mel;
    const { bands, columns, data } = step.log_mel;
    for (let column = 0; column < columns; column++) this.#addFrame(data.subarray(column * bands, (column + 1) * bands));
  }

  #addFrame(frame) {
    this.rest.push(frame);
    if (this.rest.length < this.framesPerColumn) return;
    this.columns.push(mean(this.rest));
    this.rest = [];
    if (this.columns.length < MAX_COLUMNS) return;
    this.columns = this.columns.flatMap((one, i) => (i % 2 ? [mean([this.columns[i - 1], one])] : []));
    this.framesPerColumn *= 2;
  }

  /** The Result, as an engine's predict returns it. */
  result(model) {
    const scores = [...this.scoreSums].map(([label, sum]) => ({ label, score: sum / Math.max(1, this.loudSteps) }));
    const log_mel = this.logMel && { ...this.logMel, columns: this.columns.length, data: this.#thumbnail() };
    const segments = this.segments.sort((a, b) => a.start - b.start);
    const clip = scores.sort((a, b) => b.score - a.score);
    const { warnings } = this;
    return { file: `recording ${timestamp(new Date())}.wav`, duration: this.end, model, clip, segments, log_mel, warnings, incomplete: true };
  }

  #thumbnail() {
    const data = new Uint8Array(this.columns.length * this.logMel.bands);
    this.columns.forEach((column, index) => data.set(column, index * this.logMel.bands));
    return stretchContrast(data, quantile(data, 0.08), quantile(data, 0.997));
  }

  /** The samples as a WAV file: 16 bits, mono. */
  wav() {
    const header = new DataView(new ArrayBuffer(44));
    const text = (offset, letters) => [...letters].forEach((letter, i) => header.setUint8(offset + i, letter.charCodeAt(0)));
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
    return new Blob([header, ...this.blocks], { type: "audio/wav" });
  }
}

function mean(frames) {
  if (frames.length === 1) return frames[0];
  return Uint8Array.from(frames[0], (_, band) => frames.reduce((sum, frame) => sum + frame[band], 0) / frames.length);
}

function timestamp(date) {
  const pad = (value) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}.${pad(date.getMinutes())}.${pad(date.getSeconds())}`;
}
