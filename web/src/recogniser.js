// A loaded model: what src/audioinceptionnext/inference/recogniser.py is in Python. It runs in a worker of a browser
// and in node.

import * as ort from "onnxruntime-web/wasm";
import { LikelyStepsCollector } from "./likely_steps.js";
import { roundScores, roundTo, topIndices } from "./numbers.js";
import { ownSettings, Segmenter, sorted } from "./segmentation.js";
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
    this.metadata = metadata;
    this.labels = JSON.parse(metadata.labels);
    this.sampleRate = Number(metadata.sample_rate);
    this.predictor = new StepPredictor((waveform) => this.#run(waveform), metadata, metadata.mode);
    const { fine, grid } = this.predictor;
    this.stepSeconds = grid.step / this.sampleRate;
    // Of a step. A clip is the most samples that give its frames, one short of a whole number of them.
    this.windowSeconds = (fine ? grid.clip : Number(metadata.clip_samples) + 1) / this.sampleRate;
    // What the file states of its fine timeline; windows without one are another thing.
    const stated = JSON.parse((fine && metadata.segmentation) || "{}");
    this.settings = ownSettings(JSON.parse(metadata.thresholds ?? "[]"), stated);
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
    const { labels, settings, stepSeconds, windowSeconds, sampleRate } = this;
    const thumbnail = new LogMelThumbnail();
    const whole = new RecordingMean(labels.length);
    const segmenter = new Segmenter(labels, settings, stepSeconds, windowSeconds);
    const likely = new LikelyStepsCollector(labels, settings, stepSeconds, windowSeconds);
    const segments = [];
    let [samples, steps] = [0, 0];
    let rows = []; // of the latest part, which wait until it is known whether they are the last ones
    async function* counted() {
      for await (const block of blocks) {
        yield block;
        samples += block.length;
      }
    }
    for await (const prediction of this.predictor.predictBlocks(counted())) {
      for (const row of rows) segments.push(...segmenter.push(row));
      ({ rows } = prediction);
      steps += rows.length;
      likely.add(rows);
      whole.add(prediction.windows);
      thumbnail.add(prediction.logMel, prediction.bands);
      onProgress(Math.min(steps * stepSeconds, samples / sampleRate));
    }
    const duration = samples / sampleRate;
    segments.push(...segmenter.finish(rows, duration));
    return {
      file,
      duration: roundTo(duration, 3),
      model: this.name,
      clip: whole.best(topK).map(([index, score]) => ({ label: labels[index], score })),
      segments: sorted(segments).map(roundSegment),
      stepSeconds,
      windowSeconds,
      sample_rate: sampleRate,
      likely_steps: likely.finish(duration),
      log_mel: { ...thumbnail.encode(), sample_rate: sampleRate },
    };
  }

  async #run(waveform) {
    const input = new ort.Tensor("float32", waveform, [1, waveform.length]);
    const outputs = ["probabilities", "log_mel", ...(this.predictor.fine ? ["timeline"] : [])];
    const { probabilities, log_mel: logMel, timeline } = await this.session.run({ waveform: input }, outputs);
    const [windows, steps] = [rowsOf(probabilities), timeline ? rowsOf(timeline) : null];
    return { windows, timeline: steps, logMel: logMel.data, bands: logMel.dims[2] };
  }
}

/** The rows of an output (1, rows, classes), a Float32Array each. */
function rowsOf({ data, dims: [, count, classes] }) {
  return Array.from({ length: count }, (_, row) => data.slice(row * classes, (row + 1) * classes));
}

/** A segment with times rounded to the millisecond and the score to 0.0001. */
export function roundSegment({ start, end, label, score }) {
  return { start: roundTo(start, 3), end: roundTo(end, 3), label, score: roundTo(score, 4) };
}

/** The probabilities of a recording as a whole: the mean over the windows that are not silent. */
class RecordingMean {
  constructor(classes) {
    this.sums = new Float64Array(classes);
    this.loud = 0; // windows
  }

  /** windows: the probabilities of each, which follow those added before. */
  add(windows) {
    for (const row of windows) {
      this.loud += row.some((value) => value > 0);
      for (let column = 0; column < row.length; column++) this.sums[column] += row[column];
    }
  }

  /** The labels with the highest scores: [index, score] each. */
  best(count) {
    const mean = this.sums.map((sum) => sum / Math.max(1, this.loud));
    const top = topIndices(mean, count);
    const scores = roundScores(top.map((index) => mean[index]));
    return top.map((index, rank) => [index, scores[rank]]);
  }
}
