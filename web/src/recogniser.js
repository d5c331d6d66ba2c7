// A loaded model: what src/audioinceptionnext/inference/recogniser.py is in Python. It runs in a worker of a browser
// and in node.

import * as ort from "onnxruntime-web/wasm";
import { roundScores, roundTo, topIndices } from "./numbers.js";
import { findSegments } from "./segmentation.js";
import { LogMelThumbnail } from "./thumbnail.js";
import { StepPredictor } from "./steps.js";

const TOP_K = 5;

export class Recogniser {
  /**
   * @param {string} name
   * @param {object} metadata of the ONNX file, see docs/onnx.md
   * @param {object} session of onnxruntime-web
   */
  constructor(name, metadata, session) {
    this.name = name;
    this.session = session;
    this.labels = JSON.parse(metadata.labels);
    this.sampleRate = Number(metadata.sample_rate);
    this.thresholds = JSON.parse(metadata.thresholds ?? "[]");
    this.network = (waveforms, count) => this.#run(waveforms, count);
    this.predictor = new StepPredictor(this.network, metadata, metadata.mode);
    // A clip is the most samples that give its frames, one short of a whole number of them.
    this.windowSeconds = (Number(metadata.clip_samples) + 1) / this.sampleRate;
    this.stepSeconds = this.predictor.grid.step / this.sampleRate;
  }

  /**
   * Loads a model from the bytes of an ONNX file.
   *
   * @param {string} name
   * @param {object} metadata of the file
   * @param {Uint8Array} content
   * @param {number} threads more than one only where the page is cross-origin isolated
   */
  static async open(name, metadata, content, threads = 1) {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    // Memory planned for each length of input would be kept on top of what is held already.
    const options = { executionProviders: ["wasm"], logSeverityLevel: 4, enableMemPattern: false };
    return new Recogniser(name, metadata, await ort.InferenceSession.create(content, options));
  }

  async close() {
    await this.session.release();
  }

  /**
   * The Result of a recording (see page/server.js), with stepSeconds and windowSeconds.
   *
   * @param {string} file its name
   * @param {AsyncIterable<Float32Array>} blocks mono, at `sampleRate`
   * @param {function} onProgress called with the seconds recognised so far
   * @param {number} topK labels of the recording as a whole
   */
  async predict(file, blocks, onProgress = () => {}, topK = TOP_K) {
    const thumbnail = new LogMelThumbnail();
    const rows = [];
    let samples = 0;
    async function* counted() {
      for await (const block of blocks) {
        yield block;
        samples += block.length;
      }
    }
    for await (const prediction of this.predictor.predictBlocks(counted())) {
      rows.push(...prediction.rows);
      thumbnail.add(prediction.logMel, prediction.bands);
      onProgress(Math.min(rows.length * this.stepSeconds, samples / this.sampleRate));
    }
    return this.#result(file, rows, samples / this.sampleRate, thumbnail.encode(), topK);
  }

  #result(file, rows, duration, logMel, topK) {
    const mean = recordingProbabilities(rows);
    const top = topIndices(mean, topK);
    const scores = roundScores(top.map((index) => mean[index]));
    const { stepSeconds, windowSeconds, labels } = this;
    const settings = { classThresholds: this.thresholds };
    return {
      file,
      duration: roundTo(duration, 3),
      model: this.name,
      clip: top.map((index, rank) => ({ label: labels[index], score: scores[rank] })),
      segments: findSegments(rows, stepSeconds, windowSeconds, duration, labels, settings).map(roundSegment),
      stepSeconds,
      windowSeconds,
      log_mel: { ...logMel, sample_rate: this.sampleRate },
    };
  }

  async #run(waveforms, count) {
    const input = new ort.Tensor("float32", waveforms, [count, waveforms.length / count]);
    const { probabilities, log_mel: logMel } = await this.session.run({ waveform: input }, ["probabilities", "log_mel"]);
    const { data, dims } = probabilities;
    const rows = Array.from({ length: dims[0] * dims[1] }, (_, row) => data.slice(row * dims[2], (row + 1) * dims[2]));
    return { rows, logMel: logMel.data, frames: logMel.dims[1], bands: logMel.dims[2] };
  }
}

/** A segment with times rounded to the millisecond and the score to 0.0001. */
export function roundSegment({ start, end, label, score }) {
  return { start: roundTo(start, 3), end: roundTo(end, 3), label, score: roundTo(score, 4) };
}

/** The probabilities of a recording as a whole: the mean over the steps that are not silent. */
function recordingProbabilities(rows) {
  const mean = new Float64Array(rows[0].length);
  let loudSteps = 0;
  for (const row of rows) {
    loudSteps += row.some((value) => value > 0);
    for (let column = 0; column < mean.length; column++) mean[column] += row[column];
  }
  return mean.map((sum) => sum / Math.max(1, loudSteps));
}
