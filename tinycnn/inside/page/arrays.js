"use strict";
// The page's data: JSON, and arrays that are packed, or worked out from others where that takes no rounding.

const data = JSON.parse(document.getElementById("data").textContent);
const layers = new Map(data.layers.map((layer) => [layer.path, layer]));
const ready = []; // arrays by their number, once there

/** Unpack every packed array. */
async function unpack() {
  const blocks = [...document.querySelectorAll("script.array")];
  const packed = data.arrays.map((entry, number) => ({ entry, number })).filter(({ entry }) => !entry.rule);
  await Promise.all(
    packed.map(async ({ entry, number }, i) => {
      ready[number] = numbers(await inflate(bytesOf(blocks[i].textContent)), entry.type);
      blocks[i].remove();
    }),
  );
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** First come the first bytes of all numbers, then all second ones, and so on. */
function numbers(planes, type) {
  const Type = { f4: Float32Array, f8: Float64Array, i4: Int32Array }[type];
  const item = Type.BYTES_PER_ELEMENT;
  const count = planes.length / item;
  const bytes = new Uint8Array(planes.length);
  for (let byte = 0; byte < item; byte++) {
    for (let i = 0, from = byte * count, to = byte; i < count; i++, from++, to += item) bytes[to] = planes[from];
  }
  return new Type(bytes.buffer);
}

/** The array of a number. */
function array(number) {
  if (!ready[number]) ready[number] = RULES[data.arrays[number].rule](data.arrays[number]);
  return ready[number];
}

/** One of a layer's arrays by what it is (`input`, `before`, `output`, `grad_...`), or null. */
function arrayOf(layer, key) {
  return key in layer.arrays ? array(layer.arrays[key]) : null;
}

const RULES = {
  relu: ({ of }) => array(of).map((z) => (z > 0 ? z : 0)),
  gate({ of, gradient }) {
    const z = array(of);
    return array(gradient).map((g, i) => (z[i] > 0 ? g : 0));
  },
  pool({ layer: path, size }) {
    const layer = layers.get(path);
    const x = arrayOf(layer, "input");
    const y = new x.constructor(size);
    for (let i = 0; i < size; i++) y[i] = x[winner(layer, i)];
    return y;
  },
  unpool({ layer: path, size }) {
    const layer = layers.get(path);
    const grad = arrayOf(layer, "grad_before");
    const back = new grad.constructor(size);
    for (let i = 0; i < grad.length; i++) if (grad[i]) back[winner(layer, i)] += grad[i];
    return back;
  },
};

/** Which input a max-pool's output is: the first of the largest under its window, which may be the whole picture. */
function winner(layer, index) {
  const [height, width, channels] = layer.input_shape;
  const all = (window) => ({ window, stride: 1, dilation: 1, before: 0 });
  const { rows, columns } = layer.form.type === "whole" ? { rows: all(height), columns: all(width) } : layer.form;
  const channel = index % channels; // and not by `unravel`: a picture has half a million of these
  const cell = (index - channel) / channels;
  const across = layer.shape.length === 3 ? layer.shape[1] : 1;
  const column = cell % across;
  const row = (cell - column) / across;
  const x = arrayOf(layer, "input");
  let best = -1;
  for (let i = 0; i < rows.window; i++) {
    const r = row * rows.stride + i * rows.dilation - rows.before;
    if (r < 0 || r >= height) continue;
    for (let j = 0; j < columns.window; j++) {
      const c = column * columns.stride + j * columns.dilation - columns.before;
      if (c < 0 || c >= width) continue;
      const at = (r * width + c) * channels + channel;
      if (best < 0 || x[at] > x[best]) best = at;
    }
  }
  return best;
}

function unravel(index, shape) {
  const at = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    at.unshift(index % shape[axis]);
    index = Math.floor(index / shape[axis]);
  }
  return at;
}

function ravel(at, shape) {
  return at.reduce((index, i, axis) => index * shape[axis] + i, 0);
}

function sizeOf(shape) {
  return shape.reduce((size, n) => size * n, 1);
}
