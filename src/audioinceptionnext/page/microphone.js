// The microphone as samples.

/** {rate, stop()}; piece: called with Float32Array after Float32Array. Throws an Error that says what to do. */
export async function openMicrophone(piece) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error("The microphone needs a page from https or from localhost.");
  let stream;
  try {
    // What makes speech clear on a phone call takes away the sounds that we want to hear.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const reason = { NotAllowedError: "it was not allowed: allow it in the address bar", NotFoundError: "there is none" };
    throw new Error(`The microphone cannot be heard: ${reason[error.name] ?? error.message}.`);
  }
  const context = new AudioContext();
  await context.resume();
  await context.audioWorklet.addModule(new URL("./capture.js", import.meta.url));
  const source = context.createMediaStreamSource(stream);
  const capture = new AudioWorkletNode(context, "capture");
  capture.port.onmessage = (event) => piece(event.data);
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
