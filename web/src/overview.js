// A log-mel small enough to draw, gathered as it is heard (overview.py), and as bytes.

const MOST_COLUMNS = 4000; // more than a page has pixels across

/** Collects frames; whenever they pass twice MOST_COLUMNS columns, two neighbours become one (their mean). */
export class Overview {
  constructor() {
    this.columns = []; // a Float32Array of all bands each
    this.each = 1; // frames in a column
    this.rest = []; // frames that do not fill a column yet
  }

  /** frames: Float32Array of (n, bands), which follow those added before. */
  add(frames, bands) {
    for (let at = 0; at < frames.length; at += bands) {
      this.rest.push(frames.slice(at, at + bands));
      if (this.rest.length === this.each) this.#fill();
    }
  }

  #fill() {
    this.columns.push(mean(this.rest));
    this.rest = [];
    if (this.columns.length <= 2 * MOST_COLUMNS) return;
    const odd = this.columns.length % 2 ? [this.columns.pop()] : []; // goes back to be filled by what follows
    const halved = [];
    for (let i = 0; i < this.columns.length; i += 2) halved.push(mean([this.columns[i], this.columns[i + 1]]));
    for (const column of odd) for (let i = 0; i < this.each; i++) this.rest.push(column);
    this.columns = halved;
    this.each *= 2;
  }

  /** All columns over the whole duration, at most twice MOST_COLUMNS and one. */
  picture() {
    const whole = this.rest.length && (!this.columns.length || 2 * this.rest.length >= this.each);
    return whole ? [...this.columns, mean(this.rest)] : this.columns;
  }

  /** The picture as {columns, bands, low, high, data}: its 8th percentile is 0, its 99.7th 255. */
  drawn() {
    const columns = this.picture();
    if (!columns.length) return null;
    const bands = columns[0].length;
    const values = new Float32Array(columns.length * bands);
    columns.forEach((column, index) => values.set(column, index * bands));
    const order = values.slice().sort();
    const low = percentile(order, 8);
    const high = Math.max(percentile(order, 99.7), low + 1e-3);
    return { columns: columns.length, bands, low, high, data: asBytes(values, low, high) };
  }
}

/** Log-mel values to bytes: `low` and less is 0, `high` and more 255. */
export function asBytes(values, low, high) {
  return Uint8Array.from(values, (value) =>
    Math.max(0, Math.min(255, Math.round(((value - low) / (high - low)) * 255))),
  );
}

function percentile(order, percent) {
  const place = ((order.length - 1) * percent) / 100;
  const below = Math.floor(place);
  const above = Math.min(below + 1, order.length - 1);
  return order[below] + (order[above] - order[below]) * (place - below);
}

function mean(columns) {
  if (columns.length === 1) return columns[0];
  const sum = new Float64Array(columns[0].length);
  for (const column of columns) for (let band = 0; band < sum.length; band++) sum[band] += column[band];
  return Float32Array.from(sum, (value) => value / columns.length);
}
