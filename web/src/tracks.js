// Which of several sound tracks of a file is the recording: what src/audioinceptionnext/audio/tracks.py does.

import { canDecode, Decoder } from "./decoder.js";

const PROBE_S = 20; // a track that is silent for so long is taken for a silent one
const MOST_TRACKS = 8; // are looked at
const SILENT = 1e-4; // full scale is 1: 80 dB below it

/** The first of these tracks that can be decoded and is not silent: {track, note}. note: a line, if there are several. */
export async function audibleTrack(tracks) {
  if (tracks.length < 2) return { track: tracks[0] ?? null, note: null };
  let chosen = null;
  const reasons = [];
  for (const track of tracks.slice(0, MOST_TRACKS)) {
    const state = !(await canDecode(track)) ? "not decodable" : await loudness(track);
    if (state === "loud") {
      chosen = track;
      break;
    }
    reasons.push(state);
  }
  if (!chosen) {
    const first = reasons.indexOf("silent");
    chosen = tracks[Math.max(0, first)];
    reasons.length = Math.max(0, first);
  }
  const number = tracks.indexOf(chosen) + 1;
  const why = ["silent", "not decodable"].filter((reason) => reasons.includes(reason)).join(" or ");
  const before = why ? ` (${number === 2 ? "the one" : "those"} before it: ${why})` : "";
  return { track: chosen, note: `this is sound track ${number} of ${tracks.length}${before}` };
}

/** "loud", "silent" or "not decodable", by the first seconds. */
async function loudness(track) {
  let seconds = 0;
  try {
    for await (const { sample } of new Decoder(track).run()) {
      const channel = new Float32Array(sample.numberOfFrames);
      let loud = false;
      for (let planeIndex = 0; planeIndex < sample.numberOfChannels && !loud; planeIndex++) {
        sample.copyTo(channel, { planeIndex, format: "f32-planar" });
        const [low, high] = channel.reduce(([least, most], one) => [Math.min(least, one), Math.max(most, one)], [
          Infinity,
          -Infinity,
        ]);
        loud = (high - low) / 2 > SILENT; // an offset is no sound
      }
      seconds += sample.numberOfFrames / sample.sampleRate;
      sample.close();
      if (loud) return "loud";
      if (seconds > PROBE_S) break;
    }
  } catch {
    return "not decodable";
  }
  return seconds ? "silent" : "not decodable";
}
