// A log-mel as a picture in colours: painted once, then any stretch of it is drawn at any size.
import { HEAT } from "./colours.js";

const KHZ = [0.25, 0.5, 1, 2, 4, 8, 16];

/** A LogMel (see server.js) as a canvas with the lowest band at the bottom. */
export function paint(log_mel) {
  const { columns, bands, data } = log_mel;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, columns);
  canvas.height = bands;
  const image = new ImageData(canvas.width, bands);
  const pixels = new Uint32Array(image.data.buffer);
  for (let column = 0; column < columns; column++)
    for (let band = 0; band < bands; band++)
      pixels[(bands - 1 - band) * columns + column] = HEAT[data[column * bands + band]];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Bytes with more contrast: the range from low to high becomes 0 to 255. */
export function stretchContrast(data, low, high) {
  const scale = 255 / Math.max(16, high - low); // the limit keeps silence dark
  return Uint8Array.from(data, (level) => Math.max(0, Math.min(255, (level - low) * scale)));
}

/** The value that a fraction of the bytes stay below. */
export function quantile(data, fraction) {
  const counts = new Uint32Array(256);
  for (const level of data) counts[level]++;
  let level = 0;
  for (let sum = counts[0]; sum <= fraction * data.length && level < 255; sum += counts[level]) level++;
  return level;
}

/** A LogMel from the JSON object of the server, whose data are base64. */
export function decodeLogMel(log_mel) {
  if (!log_mel) return null;
  const text = atob(log_mel.data);
  return { ...log_mel, data: Uint8Array.from(text, (character) => character.charCodeAt(0)) };
}

/** Where a frequency lies, from 0 at the bottom to 1 at the top, on HTK's mel scale, which the model uses. */
function heightOf(hertz, bands, sampleRate) {
  const mel = (f) => 2595 * Math.log10(1 + f / 700);
  return (((bands + 1) * mel(hertz)) / mel(sampleRate / 2) - 0.5) / bands;
}

/** Draws frequency marks over a picture of this height. */
export function drawFrequencyMarks(context, height, log_mel) {
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 0.65)";
  context.fillStyle = "#fff";
  for (const khz of KHZ.filter((one) => one * 1000 < log_mel.sample_rate / 2)) {
    const y = height * (1 - heightOf(khz * 1000, log_mel.bands, log_mel.sample_rate));
    if (y < 8 || y > height - 8) continue;
    context.strokeText(`${khz} kHz`, 6, y);
    context.fillText(`${khz} kHz`, 6, y);
  }
}
