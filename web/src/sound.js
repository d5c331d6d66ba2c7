// From pieces of sound at one rate to pieces at another.

import { Resampler } from "./mixing.js";

/** Mono pieces (Float32Array) of one rate at another; concatenated, as one whole resampled. */
export async function* resampled(pieces, rate, target) {
  const resampler = new Resampler(rate, target);
  for await (const piece of pieces) yield resampler.push(piece);
  yield resampler.finish();
}
