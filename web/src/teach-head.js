// A linear layer on the features of a network, and how well it does on examples that were left out:
// src/audioinceptionnext/teaching/head.py, whose docstring says what is fitted, and how.

const NONE = -1; // the class of what is to get no label
export const FOLDS = 5;
const MISSED = 0.2;
const THRESHOLDS = [0.5, 0.9];
const [MAX_STEPS, MEMORY, TOLERANCE] = [300, 10, 1e-4]; // of L-BFGS

/**
 * Fits a layer, and measures it by cross-validation.
 *
 * @param {{features: Float64Array, class: number, fold: number}[]} examples class: the number of a label, or -1 for none
 * @param {number} labels how many there are
 * @param {Float64Array[]} others features of other sounds
 * @param {number} noises how many of these, from the first on, are noise
 * @returns {{weight: Float32Array, bias: Float32Array, columns: number, threshold: number, top1: number, perClass: number[],
 *   confusions: number[][]}} weight: row after row; top1 and perClass: shares of the examples that are right when they are left
 *   out; confusions: how many examples of each class (a row) are taken for each
 */
export function fitHead(examples, labels, others, noises) {
  const none = examples.some((one) => one.class === NONE);
  const columns = examples.map((one) => (one.class === NONE ? labels : one.class));
  others.forEach((_, index) => columns.push(labels + Number(none) + Number(index >= noises)));
  const total = Math.max(...columns) + 1;
  const lowest = Math.min(...examples.map((one) => one.fold));
  const folds = [...examples.map((one) => one.fold), ...others.map((_, index) => (index % FOLDS) + lowest)];
  const space = new Space([...examples.map((one) => one.features), ...others]);

  const classes = labels + Number(none);
  const confusions = Array.from({ length: classes }, () => new Array(classes).fill(0));
  const reached = [];
  for (const fold of new Set(examples.map((one) => one.fold))) {
    const places = [...columns.keys()];
    const layer = regression(
      space,
      places.filter((place) => folds[place] !== fold),
      columns,
      total,
    );
    for (const place of places.filter((one) => folds[one] === fold && one < examples.length)) {
      const shares = softmax(space.product(place, layer.weight, layer.bias));
      if (none) shares[labels] = shares.subarray(labels).reduce((sum, share) => sum + share, 0);
      const found = shares.subarray(0, classes);
      confusions[columns[place]][found.indexOf(Math.max(...found))]++;
      if (columns[place] < labels) reached.push(shares[columns[place]]);
    }
  }
  const right = confusions.reduce((sum, row, index) => sum + row[index], 0);
  const perClass = confusions.map((row, index) => row[index] / row.reduce((sum, count) => sum + count, 0));
  const [least, most] = THRESHOLDS;
  const threshold = Math.min(most, Math.max(least, quantile(Float64Array.from(reached).sort(), MISSED)));
  const { weight, bias } = space.layer(regression(space, [...columns.keys()], columns, total), total);
  return {
    weight: Float32Array.from(weight),
    bias: Float32Array.from(bias),
    columns: total,
    threshold: Number(threshold.toFixed(2)),
    top1: right / examples.length,
    perClass,
    confusions,
  };
}

/** Standardised features, in as few dimensions as they span: rows, of which the numbers from `widths` on are 0. */
class Space {
  constructor(features) {
    const [count, channels] = [features.length, features[0].length];
    const inverse = 1 / count;
    this.mean = new Float64Array(channels);
    for (const row of features) for (let i = 0; i < channels; i++) this.mean[i] += row[i] * inverse;
    this.deviation = new Float64Array(channels);
    for (const row of features) for (let i = 0; i < channels; i++) this.deviation[i] += (row[i] - this.mean[i]) ** 2 * inverse;
    this.deviation = this.deviation.map(Math.sqrt);
    const least = 1e-6 * this.deviation.reduce((most, one) => Math.max(most, one), 0) + 1e-12; // a feature may be constant
    this.deviation = this.deviation.map((one) => Math.max(one, least));
    this.all = features.map((row) => Float64Array.from(row, (value, i) => (value - this.mean[i]) / this.deviation[i]));
    this.whole = count >= channels;
    this.rows = this.whole ? this.all : cholesky(products(this.all));
    this.dimensions = this.rows[0].length;
    this.widths = this.rows.map((_, index) => (this.whole ? channels : index + 1));
  }

  /** A row times a layer. */
  product(place, weight, bias) {
    const [row, total] = [this.rows[place], bias.length];
    const found = Float64Array.from(bias);
    for (let i = 0; i < this.widths[place]; i++) {
      const value = row[i];
      for (let column = 0, at = i * total; column < total; column++) found[column] += value * weight[at++];
    }
    return found;
  }

  /** Weights and biases for features as they are, from those for the rows. */
  layer({ weight, bias }, total) {
    let wide = weight;
    if (!this.whole) {
      const solved = solveTransposed(this.rows, weight, total);
      wide = new Float64Array(this.mean.length * total);
      for (const [index, row] of this.all.entries())
        for (let i = 0; i < row.length; i++)
          for (let column = 0; column < total; column++) wide[i * total + column] += row[i] * solved[index * total + column];
    }
    const scaled = wide.map((value, at) => value / this.deviation[Math.floor(at / total)]);
    const shifted = Float64Array.from(bias);
    for (let at = 0; at < scaled.length; at++) shifted[at % total] -= this.mean[Math.floor(at / total)] * scaled[at];
    return { weight: scaled, bias: shifted };
  }
}

/** The products of rows with each other, with a little more on the diagonal. */
function products(rows) {
  const found = rows.map(() => new Float64Array(rows.length));
  for (let one = 0; one < rows.length; one++) {
    for (let other = 0; other <= one; other++) {
      const [a, b] = [rows[one], rows[other]];
      let sum = 0;
      for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
      found[one][other] = found[other][one] = sum;
    }
  }
  const more = 1e-9 * found.reduce((sum, row, index) => sum + row[index], 0);
  found.forEach((row, index) => (row[index] += more));
  return found;
}

/** The lower triangle L for which L times its transpose is the matrix. */
function cholesky(matrix) {
  const found = matrix.map(() => new Float64Array(matrix.length));
  for (let row = 0; row < matrix.length; row++) {
    for (let column = 0; column <= row; column++) {
      const [a, b] = [found[row], found[column]];
      let rest = matrix[row][column];
      for (let i = 0; i < column; i++) rest -= a[i] * b[i];
      a[column] = row === column ? Math.sqrt(rest) : rest / b[column];
    }
  }
  return found;
}

/** The solution of (the transpose of a lower triangle) times it = weight, row after row. */
function solveTransposed(triangle, weight, total) {
  const found = Float64Array.from(weight);
  for (let row = triangle.length - 1; row >= 0; row--) {
    for (let column = 0; column < total; column++) {
      let rest = found[row * total + column];
      for (let other = row + 1; other < triangle.length; other++) rest -= triangle[other][row] * found[other * total + column];
      found[row * total + column] = rest / triangle[row][row];
    }
  }
  return found;
}

/** The weights, row after row, and biases of the logistic regression of some rows of a space. */
function regression(space, places, columns, total) {
  const size = space.dimensions * total;
  const loss = (parameters) => {
    const [weight, bias] = [parameters.subarray(0, size), parameters.subarray(size)];
    const gradient = Float64Array.from(parameters).fill(0, size);
    let value = 0;
    for (let i = 0; i < size; i++) value += weight[i] ** 2 / 2;
    for (const place of places) {
      const wrong = softmax(space.product(place, weight, bias));
      value -= Math.log(Math.max(wrong[columns[place]], 1e-300));
      wrong[columns[place]] -= 1;
      const row = space.rows[place];
      for (let i = 0; i < space.widths[place]; i++) {
        const feature = row[i];
        for (let column = 0, at = i * total; column < total; column++) gradient[at++] += feature * wrong[column];
      }
      for (let column = 0; column < total; column++) gradient[size + column] += wrong[column];
    }
    return { value, gradient };
  };
  const found = minimise(loss, new Float64Array(size + total));
  return { weight: found.subarray(0, size), bias: found.subarray(size) };
}

/** L-BFGS (Nocedal, 1980) with steps that are halved until the loss falls enough. */
function minimise(loss, start) {
  let place = start;
  let { value, gradient } = loss(start);
  const moves = []; // {s, y, sy} of the latest steps
  for (let count = 0; count < MAX_STEPS; count++) {
    if (gradient.every((one) => Math.abs(one) < TOLERANCE)) break;
    const direction = Float64Array.from(gradient);
    const amounts = [];
    for (const { s, y, sy } of moves.toReversed()) {
      const amount = dot(s, direction) / sy;
      amounts.unshift(amount);
      addTo(direction, y, -amount);
    }
    const last = moves.at(-1);
    const scale = last ? last.sy / dot(last.y, last.y) : 1 / gradient.reduce((sum, one) => sum + Math.abs(one), 0);
    for (let i = 0; i < direction.length; i++) direction[i] *= scale;
    moves.forEach(({ s, y, sy }, index) => addTo(direction, s, amounts[index] - dot(y, direction) / sy));
    const slope = dot(gradient, direction);
    let [step, after, next] = [1, null, null];
    for (; ; step /= 2) {
      after = addTo(Float64Array.from(place), direction, -step);
      next = loss(after);
      if (next.value <= value - 1e-4 * step * slope || step < 1e-10) break;
    }
    const s = addTo(after.slice(), place, -1);
    const y = addTo(next.gradient.slice(), gradient, -1);
    const sy = dot(s, y);
    if (sy > 1e-12 * dot(y, y)) moves.push({ s, y, sy });
    if (moves.length > MEMORY) moves.shift();
    place = after;
    ({ value, gradient } = next);
  }
  return place;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Adds a multiple of a vector to another, which is returned. */
function addTo(target, vector, factor) {
  for (let i = 0; i < target.length; i++) target[i] += factor * vector[i];
  return target;
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((all, one) => all + one, 0);
  return powers.map((value) => value / sum);
}

/** Of sorted values, as numpy's quantile. */
function quantile(sorted, share) {
  const position = (sorted.length - 1) * share;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/**
 * Divides examples into folds, evenly by class, so that all of a source are in one: `fold_numbers`.
 *
 * @param {number[]} classes of the examples
 * @param {string[]} sources what was recorded in one go
 */
export function foldNumbers(classes, sources) {
  const sourcesOf = new Map(); // by class
  classes.forEach((one, index) => sourcesOf.set(one, (sourcesOf.get(one) ?? new Set()).add(sources[index])));
  const nameOf = (one, index) => JSON.stringify([sources[index], sourcesOf.get(one).size === 1 ? index : NONE]);
  const names = classes.map(nameOf);
  const sizes = new Map();
  for (const name of names) sizes.set(name, (sizes.get(name) ?? 0) + 1);
  const order = [...names.keys()].sort((a, b) => sizes.get(names[b]) - sizes.get(names[a]) || a - b);
  const foldOf = new Map();
  const taken = Array.from({ length: FOLDS }, () => ({ all: 0, of: new Map() })); // examples by fold
  for (const index of order) {
    const one = classes[index];
    const before = (fold) => taken[fold].of.get(one) ?? 0;
    if (!foldOf.has(names[index])) {
      const folds = [...taken.keys()].sort((a, b) => before(a) - before(b) || taken[a].all - taken[b].all || a - b);
      foldOf.set(names[index], folds[0]);
    }
    const fold = taken[foldOf.get(names[index])];
    fold.of.set(one, (fold.of.get(one) ?? 0) + 1);
    fold.all++;
  }
  return names.map((name) => foldOf.get(name));
}
