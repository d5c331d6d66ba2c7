import assert from "node:assert/strict";
import { test } from "node:test";
import { openMicrophone } from "../../src/audioinceptionnext/page/microphone.js";
import { Recording } from "../../src/audioinceptionnext/page/recording.js";

const RATE = 8000;

test("a microphone with swapped wires gives the sound and a warning", async () => {
  let port;
  const track = { stop() {} };
  const stream = { getTracks: () => [track] };
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: { getUserMedia: async () => stream } }, configurable: true });
  globalThis.AudioContext = class {
    sampleRate = RATE;
    audioWorklet = { addModule: async () => {} };
    resume = async () => {};
    createMediaStreamSource = () => ({ connect() {} });
  };
  globalThis.AudioWorkletNode = class {
    port = (port = {});
  };
  const recording = new Recording(RATE);
  const blocks = [];
  await openMicrophone(
    (samples) => blocks.push(samples),
    (line) => recording.warnings.push(line),
  );
  const left = Float32Array.from({ length: RATE }, (_, i) => Math.sin(i));
  for (let second = 0; second < 3; second++) port.onmessage({ data: [left, left.map((value) => -value)] });
  assert.deepEqual(blocks, [left, left, left]);
  assert.deepEqual(recording.result("model").warnings, ["its channels cancel each other, so that only channel 1 of 2 is used"]);
});
