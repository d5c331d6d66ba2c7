import { openAsBlob } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SoundTrack } from "../src/soundtrack.js";
import { comparePrediction } from "./compare.js";
import { blocks, fixtures, recogniser as openRecogniser } from "./fixtures.js";

const { folder, json, waveform } = fixtures("recordings");
const results = json("results.json");

for (const [model, names] of Object.entries(json("names.json"))) {
  test(`${model} recognises what it recognises in Python`, async (context) => {
    const recogniser = await openRecogniser(model);
    for (const name of names) {
      const input = name.endsWith(".wav")
        ? (await SoundTrack.open(await openAsBlob(join(folder, name)), name)).waveform(recogniser.sampleRate)
        : blocks(waveform(`${name}.f32`), [70001, 1e6]);
      await comparePrediction(context, recogniser, input, results[`${model} ${name}`], `${model} ${name}`);
    }
    await recogniser.close();
  });
}
