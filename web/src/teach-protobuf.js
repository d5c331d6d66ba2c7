// The wire format of protocol buffers, as far as ONNX files need it: src/audioinceptionnext/teaching/protobuf.py. A field that is
// kept is written as it stands.

const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5]; // how a field is written

/**
 * The fields of a message in their order: {number, raw: the field as it stands, value: its bytes, or a number}.
 *
 * @param {Uint8Array} message
 * @throws {Error} if it is none
 */
export function* fields(message) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= message.length) throw new Error("it ends within a number");
      const byte = message[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    const [number, kind] = [Math.floor(tag / 8), tag % 8];
    let value;
    if (kind === VARINT) value = varint();
    else {
      const length = { [FIXED64]: () => 8, [BYTES]: varint, [FIXED32]: () => 4 }[kind]?.();
      if (length === undefined || at + length > message.length) throw new Error("it has a field that is damaged");
      value = message.subarray(at, at + length);
      at += length;
    }
    yield { number, raw: message.subarray(start, at), value };
  }
}

/** The texts in all fields of this number. */
export function texts(message, number) {
  const decoder = new TextDecoder();
  return [...fields(message)].filter((one) => one.number === number && typeof one.value !== "number").map(({ value }) => decoder.decode(value));
}

/** A field as bytes. value: a whole number of 0 or more, a string, or bytes. */
export function field(number, value) {
  if (typeof value === "number") return joined([varint(number * 8 + VARINT), varint(value)]);
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return joined([varint(number * 8 + BYTES), varint(bytes.length), bytes]);
}

/** Bytes one after the other. */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function varint(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.from([...bytes, value]);
}
