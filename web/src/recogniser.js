// A model, ready to listen: what recogniser.py is in Python. Runs in a browser's worker and in node.

import * as ort from "onnxruntime-web/wasm";
import { Listener } from "./listening.js";
import { best, rounded, roundedScores } from "./numbers.js";
import { Overview } from "./overview.js";
import { findSegments } from "./timeline.js";

const TOP = 5; // labels for the recording as a whole

export class Recogniser {
  /**
   * @param {string} name
   * @param {object} facts the file's metadata, see docs/onnx.md
   * @param {object} session of onnxruntime-web
   */
  constructor(name, facts, session) {
    this.name = name;
    this.session = session;
    this.labels = JSON.parse(facts.labels);
    this.sampleRate = Number(facts.sample_rate);
    this.thresholds = JSON.parse(facts.thresholds ?? "[]");
    this.network = (waveforms, count) => this.#run(waveforms, count);
    this.listener = new Listener(this.network, facts, facts.run);
    this.clips = new Listener(this.network, facts, "clips");
    // A clip is the most samples that make its frames, one short of a whole number of them.
    this.window = (Number(facts.clip_samples) + 1) / this.sampleRate;
    this.step = this.listener.grid.step / this.sampleRate;
  }

  /**
   * A model from an ONNX file's bytes.
   *
   * @param {string} name
   * @param {object} facts its metadata
   * @param {Uint8Array} content
   * @param {number} threads more than one only where the page is cross-origin isolated
   */
  static async open(name, facts, content, threads = 1) {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    // Memory planned for each length of input would be kept on top of what is held already.
    const options = { executionProviders: ["wasm"], logSeverityLevel: 4, enableMemPattern: false };
    return new Recogniser(name, facts, await ort.InferenceSession.create(content, options));
  }

  async close() {
    await this.session.release();
  }

  /**
   * What is heard in a recording, as `ainext predict --json` prints it, with its log-mel to draw: see engine.js, Heard.
   *
   * @param {string} file its name
   * @param {AsyncIterable<Float32Array>} blocks mono at `sampleRate`
   * @param {function} progress called with the seconds heard so far
   */
  async predict(file, blocks, progress = () => {}) {
    const overview = new Overview();
    const rows = [];
    let samples = 0;
    async function* counted() {
      for await (const block of blocks) {
        yield block;
        samples += block.length;
      }
    }
    for await (const heard of this.listener.listen(counted())) {
      rows.push(...heard.rows);
      overview.add(heard.logMel, heard.bands);
      progress(Math.min(rows.length * this.step, samples / this.sampleRate));
    }
    return this.#heard(file, rows, samples / this.sampleRate, overview.drawn());
  }

  #heard(file, rows, duration, picture) {
    const mean = overall(rows);
    const top = best(mean, TOP);
    const scores = roundedScores(top.map((index) => mean[index]));
    const settings = { byClass: this.thresholds };
    return {
      file,
      duration: rounded(duration, 3),
      model: this.name,
      clip: top.map((index, place) => ({ label: this.labels[index], score: scores[place] })),
      segments: findSegments(rows, this.step, this.window, duration, this.labels, settings).map(inJson),
      hop: this.step,
      window: this.window,
      log_mel: { ...picture, sample_rate: this.sampleRate },
    };
  }

  async #run(waveforms, count) {
    const input = new ort.Tensor("float32", waveforms, [count, waveforms.length / count]);
    const { logits, log_mel: logMel } = await this.session.run({ waveform: input }, ["logits", "log_mel"]);
    const classes = logits.dims[2];
    const rows = [];
    for (let at = 0; at < logits.data.length; at += classes) rows.push(logits.data.slice(at, at + classes));
    return { logits: rows, logMel: logMel.data, frames: logMel.dims[1], bands: logMel.dims[2] };
  }
}

/** A segment with its times to the millisecond and its score to 0.0001. */
export function inJson({ start, end, label, score }) {
  return { start: rounded(start, 3), end: rounded(end, 3), label, score: rounded(score, 4) };
}

/** Of a recording as a whole: the mean over its steps that are not silent. */
export function overall(rows) {
  const mean = new Float64Array(rows[0].length);
  let sounding = 0;
  for (const row of rows) {
    sounding += row.some((value) => value > 0);
    for (let column = 0; column < mean.length; column++) mean[column] += row[column];
  }
  return mean.map((sum) => sum / Math.max(1, sounding));
}
