// A log-mel that is small enough to draw, collected while a recording is recognised, and as bytes:
// src/audioinceptionnext/results/thumbnail.py.

const MAX_COLUMNS = 4000; // more than a page has pixels across

/** Collects frames. When they exceed twice MAX_COLUMNS columns, pairs of neighbours are averaged. */
export class LogMelThumbnail {
  constructor() {
    this.columns = []; // a Float32Array of all bands each
    this.framesPerColumn = 1;
    this.rest = []; // frames that do not fill a column yet
  }

  /** frames: Float32Array of (n, bands), which follow those added before. */
  add(frames, bands) {
    for (let at = 0; at < frames.length; at += bands) {
      this.rest.push(frames.slice(at, at + bands));
      if (this.rest.length === this.framesPerColumn) this.#addColumn();
    }
  }

  #addColumn() {
    this.columns.push(mean(this.rest));
    this.rest = [];
    if (this.columns.length <= 2 * MAX_COLUMNS) return;
    const odd = this.columns.length % 2 ? [this.columns.pop()] : []; // is filled up by the frames that follow
    const halved = [];
    for (let i = 0; i < this.columns.length; i += 2) halved.push(mean([this.columns[i], this.columns[i + 1]]));
    for (const column of odd) for (let i = 0; i < this.framesPerColumn; i++) this.rest.push(column);
    this.columns = halved;
    this.framesPerColumn *= 2;
  }

  /** All columns over the whole duration: at most twice MAX_COLUMNS, and one more. */
  picture() {
    const include = this.rest.length && (!this.columns.length || 2 * this.rest.length >= this.framesPerColumn);
    return include ? [...this.columns, mean(this.rest)] : this.columns;
  }

  /** The picture as {columns, bands, low, high, data}: its 8th percentile becomes 0, its 99.7th 255. */
  encode() {
    const columns = this.picture();
    if (!columns.length) return null;
    const bands = columns[0].length;
    const values = new Float32Array(columns.length * bands);
    columns.forEach((column, index) => values.set(column, index * bands));
    const sorted = values.slice().sort();
    const low = percentile(sorted, 8);
    const high = Math.max(percentile(sorted, 99.7), low + 1e-3);
    return { columns: columns.length, bands, low, high, data: toBytes(values, low, high) };
  }
}

/** Log-mel values as bytes: `low` and below is 0, `high` and above 255. */
export function toBytes(values, low, high) {
  return Uint8Array.from(values, (value) =>
    Math.max(0, Math.min(255, Math.round(((value - low) / (high - low)) * 255))),
  );
}

function percentile(sorted, percent) {
  const position = ((sorted.length - 1) * percent) / 100;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

function mean(columns) {
  if (columns.length === 1) return columns[0];
  const sum = new Float64Array(columns[0].length);
  for (const column of columns) for (let band = 0; band < sum.length; band++) sum[band] += column[band];
  return Float32Array.from(sum, (value) => value / columns.length);
}
