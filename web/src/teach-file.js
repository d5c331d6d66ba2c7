// A model's ONNX file with another last layer: src/audioinceptionnext/teaching/onnx_file.py, whose docstring says what is changed.

import { field, fields, joined, texts } from "./teach-protobuf.js";

const [GRAPH, METADATA, KEY, VALUE] = [7, 14, 1, 2]; // fields of a model, and of an entry of its metadata
const [NODE, CONSTANT, OUTPUT, VALUE_INFO] = [1, 5, 12, 13]; // fields of a graph
const [NODE_INPUT, NODE_OUTPUT, NODE_NAME, OPERATOR, ATTRIBUTE] = [1, 2, 3, 4, 5]; // fields of a node
const [DIMS, DATA_TYPE, TENSOR_NAME, RAW_DATA] = [1, 2, 8, 9]; // fields of a constant
const [FLOAT, INT64] = [1, 7]; // types of numbers
const KEPT_OUTPUTS = ["features", "log_mel"];
const PREFIX = "taught.";
const OLD_METADATA = ["labels", "tasks", "thresholds", "segmentation", "timeline_step_frames", "temperature", "identifiers", "groups"];

/**
 * An ONNX file of this package with another last layer: {content, metadata}.
 *
 * @param {Uint8Array} content the file
 * @param {object} head the layer, see teach-head.js; its first columns are for the labels, the others for none of them
 * @param {string[]} labels the new ones
 * @param {string} name of the new model
 * @param {object} info what to say of it in the metadata
 * @throws {Error} one line: the file is not such a file, or its features do not fit the layer
 */
export function withNewHead(content, head, labels, name, info) {
  try {
    const old = readMetadata(content);
    const channels = head.weight.length / head.columns;
    if (Number(old.features) !== channels) throw new Error(`its features are of another size than the ${channels} of the examples`);
    const model = [...fields(content)];
    const graph = model.find(({ number }) => number === GRAPH);
    const { edited, fewer } = edit([...fields(graph.value)], head, labels.length);
    const metadata = Object.fromEntries(Object.entries(old).filter(([key]) => !OLD_METADATA.includes(key)));
    const parameters = Number(old.parameters ?? 0) - fewer + head.weight.length + head.bias.length;
    Object.assign(metadata, {
      name,
      kind: "single-label",
      labels: JSON.stringify(labels),
      thresholds: JSON.stringify(labels.map(() => head.threshold)),
      parameters: String(parameters),
      info: JSON.stringify({ ...info, name }),
    });
    const entries = Object.entries(metadata).map(([key, value]) => field(METADATA, joined([field(KEY, key), field(VALUE, value)])));
    const kept = model.filter(({ number }) => number !== METADATA).map((one) => (one === graph ? field(GRAPH, edited) : one.raw));
    return { content: joined([...kept, ...entries]), metadata };
  } catch (error) {
    throw new Error(`This model cannot be taught, since its file is not as it should be: ${error.message}.`);
  }
}

/** The metadata of an ONNX file. */
export function readMetadata(content) {
  const found = {};
  for (const { number, value } of fields(content)) {
    if (number === METADATA) found[texts(value, KEY).join("")] = texts(value, VALUE).join("");
  }
  return found;
}

/** The new graph, and how many parameters of the old one are not in it. */
function edit(graph, head, labels) {
  const nodes = graph.filter(({ number }) => number === NODE).map(({ value }) => nodeOf(value));
  const mask = maskOf(nodes);
  // A file that was taught before has nodes and constants of the new names.
  const isOld = (name) => ["probabilities", "logits", PREFIX].some((start) => name.startsWith(start));
  const kept = nodes.filter(({ outputs }) => !outputs.some(isOld));
  kept.push(...newNodes(mask, head.columns - labels).map(nodeOf));
  const outputs = new Map(graph.filter(({ number }) => number === OUTPUT).map(({ value, raw }) => [texts(value, 1)[0], raw]));
  for (const name of KEPT_OUTPUTS) if (!outputs.has(name)) throw new Error(`it has no output ${name}`);
  const needed = new Set(["probabilities", "logits", ...KEPT_OUTPUTS]);
  const alive = [];
  for (const node of kept.reverse()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    for (const name of node.inputs) needed.add(name);
    alive.unshift(field(NODE, node.message));
  }
  const constants = [];
  let fewer = 0;
  for (const { number, value, raw } of graph) {
    if (number !== CONSTANT) continue;
    const [called] = texts(value, TENSOR_NAME);
    if (needed.has(called) && !called.startsWith(PREFIX)) constants.push(raw);
    else fewer += parametersOf(value);
  }
  constants.push(
    constant("weight", FLOAT, [head.weight.length / head.columns, head.columns], head.weight),
    constant("bias", FLOAT, [head.columns], head.bias),
    constant("sizes", INT64, [2], BigInt64Array.from([labels, head.columns - labels].map(BigInt))),
    constant("axis", INT64, [1], BigInt64Array.of(2n)),
  );
  const other = graph.filter(({ number }) => ![NODE, CONSTANT, OUTPUT, VALUE_INFO].includes(number)).map(({ raw }) => raw);
  const described = [output("probabilities", labels), output("logits", labels), ...KEPT_OUTPUTS.map((name) => outputs.get(name))];
  return { edited: joined([...alive, ...other, ...constants, ...described]), fewer };
}

function nodeOf(message) {
  return { message, inputs: texts(message, NODE_INPUT), outputs: texts(message, NODE_OUTPUT), operator: texts(message, OPERATOR)[0] };
}

/** The name of what is 0 in digital silence and 1 elsewhere. */
function maskOf(nodes) {
  const found = new Set(["features"]); // and what depends on it
  for (const { inputs, outputs, operator } of nodes) {
    if (outputs.includes("probabilities")) {
      const masks = inputs.filter((name) => !found.has(name));
      if (operator === "Mul" && masks.length === 1 && inputs.length === 2) return masks[0];
      break;
    }
    if (inputs.some((name) => found.has(name))) for (const name of outputs) found.add(name);
  }
  throw new Error("its probabilities are no product of a layer on its features and a mask");
}

/** From the features to probabilities and logits. rest: the number of columns for none of the labels. */
function newNodes(mask, rest) {
  if (rest < 1) throw new Error("the new layer has no column for none of the labels");
  const own = (...names) => names.map((name) => PREFIX + name);
  const axis = field(ATTRIBUTE, joined([field(1, "axis"), field(3, 2), field(20, 2)])); // its name, value and type
  return [
    node("MatMul", ["features", ...own("weight")], own("products")),
    node("Add", own("products", "bias"), own("sums")),
    node("Softmax", own("sums"), own("shares")),
    node("Split", own("shares", "sizes"), own("labels", "none"), axis),
    node("Mul", [...own("labels"), mask], ["probabilities"]),
    node("Split", own("sums", "sizes"), own("own", "rest"), axis),
    node("ReduceLogSumExp", own("rest", "axis"), own("other")),
    node("Sub", own("own", "other"), ["logits"]),
  ];
}

function node(operator, inputs, outputs, ...attributes) {
  const names = [...inputs.map((name) => field(NODE_INPUT, name)), ...outputs.map((name) => field(NODE_OUTPUT, name))];
  return joined([...names, field(NODE_NAME, `${PREFIX}${operator}-${outputs[0]}`), field(OPERATOR, operator), ...attributes]);
}

function constant(name, type, dims, values) {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength); // browsers' order, lowest first, is ONNX's
  const sizes = dims.map((size) => field(DIMS, size));
  return field(CONSTANT, joined([...sizes, field(DATA_TYPE, type), field(TENSOR_NAME, PREFIX + name), field(RAW_DATA, bytes)]));
}

/** How many parameters a constant is; indices and sizes are none. */
function parametersOf(tensor) {
  const all = [...fields(tensor)];
  if (all.some(({ number, value }) => number === DATA_TYPE && value === INT64)) return 0;
  return all.filter(({ number }) => number === DIMS).reduce((product, { value }) => product * value, 1);
}

/** (batch, steps, labels): a value (1 name, 2 type), its tensor (1 number type, 2 shape), the dimensions (1 size, 2 name). */
function output(name, labels) {
  const dims = [field(2, "batch"), field(2, "steps"), field(1, labels)].map((dim) => field(1, dim));
  const tensor = joined([field(1, FLOAT), field(2, joined(dims))]);
  return field(OUTPUT, joined([field(1, name), field(2, field(1, tensor))]));
}
