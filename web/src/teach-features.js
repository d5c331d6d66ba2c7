// What the last layer of a model gets of a recording, one vector for every five seconds:
// src/audioinceptionnext/teaching/features.py.

import * as ort from "onnxruntime-web/wasm";
import { concatenate } from "./numbers.js";
import { StepPredictor } from "./steps.js";

const STRETCH_S = 5;
const MAX_S = 300;

/**
 * The vectors of a recording, without any for digital silence: {features: a Float64Array each, duration: in seconds}.
 *
 * @param {Recogniser} recogniser
 * @param {AsyncIterable<Float32Array>} blocks mono, at its rate
 */
export async function embed(recogniser, blocks) {
  const rate = recogniser.sampleRate;
  const parts = [];
  let samples = 0;
  for await (const block of blocks) {
    if (samples < MAX_S * rate) parts.push(block);
    samples += block.length;
  }
  const waveform = parts.length ? concatenate(parts).subarray(0, MAX_S * rate) : new Float32Array(0);
  return { features: await featuresOf(recogniser, waveform), duration: samples / rate };
}

/** The vectors of a waveform. */
export async function featuresOf(recogniser, waveform) {
  const size = Math.round(STRETCH_S * recogniser.sampleRate);
  const found = [];
  for (let start = 0; start < Math.max(1, waveform.length - Math.floor(size / 2)); start += size) {
    const mean = await loudMean(recogniser, waveform.slice(start, start + size));
    if (mean) found.push(mean);
  }
  return found;
}

/** The mean vector of the windows that are not digital silence; null if there is none. */
async function loudMean(recogniser, waveform) {
  const { session, metadata } = recogniser;
  const channels = Number(metadata.features);
  const { timeline_step_frames: _, ...coarse } = metadata; // vectors are those of windows
  const network = async (samples) => {
    const input = new ort.Tensor("float32", samples, [1, samples.length]);
    const { probabilities, features } = await session.run({ waveform: input }, ["probabilities", "features"]);
    const row = ({ data }, width, number) => data.subarray(number * width, (number + 1) * width);
    const windows = Array.from({ length: features.dims[1] }, (__, number) => ({
      vector: row(features, channels, number),
      loud: row(probabilities, probabilities.dims[2], number).some((value) => value > 0),
    }));
    return { windows, timeline: null, logMel: new Float32Array(0), bands: 0 };
  };
  const sum = new Float64Array(channels);
  let loud = 0;
  for await (const { windows } of new StepPredictor(network, coarse, metadata.mode).predictBlocks([waveform])) {
    for (const { vector } of windows.filter((one) => one.loud)) {
      loud++;
      for (let channel = 0; channel < channels; channel++) sum[channel] += vector[channel];
    }
  }
  return loud ? sum.map((value) => value / loud) : null;
}
