// The microphone as blocks of samples.
import { Mixdown } from "./mixdown.js";

/**
 * {rate, stop()}. onSamples: called with one Float32Array after another; onWarning: with a line on what is wrong with
 * the sound. Throws an Error that says what to do.
 */
export async function openMicrophone(onSamples, onWarning) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error("The microphone works only on pages from https or localhost.");
  let stream;
  try {
    // These filters make speech clearer in calls, and remove the very sounds that are to be recognised.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const reasons = { NotAllowedError: "allow it in the address bar", NotFoundError: "connect one first" };
    throw new Error(`The microphone cannot be used: ${reasons[error.name] ?? error.message}.`);
  }
  const context = new AudioContext();
  await context.resume();
  await context.audioWorklet.addModule(new URL("./capture.js", import.meta.url));
  const source = context.createMediaStreamSource(stream);
  const capture = new AudioWorkletNode(context, "capture");
  const mixdown = new Mixdown(onWarning);
  capture.port.onmessage = (event) => onSamples(mixdown.mix(event.data, context.sampleRate));
  source.connect(capture);
  return {
    rate: context.sampleRate,
    stop() {
      if (context.state === "closed") return;
      capture.port.onmessage = null;
      for (const track of stream.getTracks()) track.stop();
      context.close();
    },
  };
}
