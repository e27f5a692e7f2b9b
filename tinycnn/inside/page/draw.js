"use strict";
// Elements, numbers as text, and numbers as colours.

/** An element with properties, `on...` handlers, `data-`/`aria-` attributes, and children (null is left out). */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "style") Object.assign(element.style, value);
    else if (key.includes("-") || key === "role" || key === "for") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Put children into a section, in place of what was there. */
function fill(section, ...children) {
  section.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/** A section's heading, to which the focus goes if what had it is no longer there. */
function heading(...words) {
  return h("h2", { tabIndex: -1 }, words);
}

/** An element of a drawing. */
function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** A number in about `digits` digits: 0.01234, 1.235e−7; with a power of ten if it is smaller than `least`. */
function text(x, digits = 4, least = 1e-4) {
  if (!Number.isFinite(x)) return String(x);
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x).replace("-", "−");
  const size = Math.abs(x);
  const plain = size < least || size >= 1e6 ? x.toExponential(digits - 1) : x.toPrecision(digits);
  return plain.replaceAll("-", "−");
}

/** A number for a small cell. */
function brief(x) {
  return text(x, Math.abs(x) < 1e-2 ? 2 : 3, 1e-2);
}

/** A number that can be read off exactly: nine digits are enough for 32 bits. */
function exact(x) {
  return h("data", { value: String(x), className: "exact" }, text(x, 9));
}

/** A name that may be broken after "_" and "/", and before a capital letter. */
function breakable(name) {
  const parts = name.split(/(?<=[_/])|(?<=[a-z])(?=[A-Z])/);
  return parts.flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part]));
}

function count(n, word, words = `${word}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? word : words}`;
}

// Dark below zero, light above, grey at zero: blue and yellow are told apart by all common kinds of colour blindness,
// and the lightness alone, which is what a grey printer leaves, rises from end to end.
const SIGNED = [
  [4, 32, 79],
  [47, 95, 158],
  [141, 146, 152],
  [232, 185, 60],
  [255, 246, 196],
];
const GREY = [
  [0, 0, 0],
  [255, 255, 255],
];
const STEPS = 255; // an odd number of colours, so that 0 has its own

function table(stops) {
  return Array.from({ length: STEPS }, (_, i) => {
    const place = (i / (STEPS - 1)) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((from, k) => Math.round(from + (place - low) * (stops[low + 1][k] - from)));
  });
}

const TABLES = { signed: table(SIGNED), grey: table(GREY) };
const BROKEN = [200, 0, 120]; // not a number

/** A pixel's four bytes in one number, as canvases hold them: red first, opaque. */
function packed([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

const PIXELS = {
  signed: Uint32Array.from(TABLES.signed, packed),
  grey: Uint32Array.from(TABLES.grey, packed),
};

/** Colours for numbers: `signed` from -end over 0 to end, or `grey` from 0 to end. */
function scaleFor(values, kind = "signed") {
  const sizes = [];
  const step = Math.max(1, Math.floor(values.length / 20000));
  for (let i = 0; i < values.length; i += step) {
    const size = Math.abs(values[i]);
    if (size > 0 && Number.isFinite(size)) sizes.push(size);
  }
  const sorted = Float64Array.from(sizes).sort();
  const end = sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(0.995 * sorted.length))] : 1;
  return { end, kind };
}

const scales = new Map();

/** The scale of one of the page's arrays; the image's is grey if it holds nothing negative. */
function scaleOf(number, isImage = false) {
  const key = `${number} ${isImage}`;
  if (!scales.has(key)) {
    const grey = isImage && array(number).every((x) => x >= 0);
    scales.set(key, grey ? { end: Math.max(...scan(array(number))) || 1, kind: "grey" } : scaleFor(array(number)));
  }
  return scales.get(key);
}

/** Least and largest number. */
function scan(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const x of values) {
    if (x < low) low = x;
    if (x > high) high = x;
  }
  return [low, high];
}

function colour(x, { end, kind }) {
  if (Number.isNaN(x)) return BROKEN;
  const place = kind === "grey" ? x / end : (x / end + 1) / 2;
  return TABLES[kind][Math.max(0, Math.min(STEPS - 1, Math.round(place * (STEPS - 1))))];
}

function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}

/** Background and ink of a cell that shows a number on its colour. */
function inked(x, scale) {
  const [r, g, b] = colour(x, scale);
  return { background: css([r, g, b]), color: 0.3 * r + 0.59 * g + 0.11 * b > 130 ? "#000" : "#fff" };
}

/** How an array of some shape lies as pictures: rows x columns x channels; one without rows is broken into lines. */
function pictureOf(shape) {
  if (shape.length === 3) return { height: shape[0], width: shape[1], channels: shape[2], size: sizeOf(shape) };
  const size = sizeOf(shape);
  const width = size <= 16 ? size : Math.ceil(Math.sqrt(size));
  return { height: Math.ceil(size / width), width, channels: 1, size };
}

/** Paint one channel of an array; cells beyond its end stay clear. */
function paint(canvas, values, picture, channel, scale) {
  const { height, width, channels, size } = picture;
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = PIXELS[scale.kind];
  const last = STEPS - 1;
  const [zero, slope] = scale.kind === "grey" ? [0, last / scale.end] : [last / 2, last / 2 / scale.end];
  for (let at = 0, from = channel; at < height * width && from < size; at++, from += channels) {
    const step = Math.round(zero + slope * values[from]);
    pixels[at] = step !== step ? packed(BROKEN) : table[step < 0 ? 0 : step > last ? last : step];
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The image in its own colours, if it has three channels from 0 to 1. */
function paintImage(canvas, values, picture) {
  const scale = scaleOf(data.layers[0].arrays.input, true);
  if (picture.channels !== 3 || scale.kind !== "grey") return paint(canvas, values, picture, 0, scale);
  canvas.width = picture.width;
  canvas.height = picture.height;
  const image = new ImageData(picture.width, picture.height);
  for (let at = 0; at < picture.width * picture.height; at++) {
    for (let k = 0; k < 3; k++) image.data[4 * at + k] = Math.round((255 * values[3 * at + k]) / scale.end);
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** A table that scrolls by itself where it is too broad. */
function tableOf(heads, rows) {
  const cells = heads.map((head) => h("th", { scope: "col" }, head));
  return h("div", { className: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, cells)), h("tbody", {}, rows)));
}

/** What the colours mean. */
function legend({ end, kind }) {
  const ends = kind === "grey" ? ["0", text(end, 3)] : [text(-end, 3), "0", text(end, 3)];
  return h(
    "div",
    { className: "legend" },
    h("div", { className: `bar ${kind}`, role: "img", "aria-label": `colours from ${ends[0]} to ${ends.at(-1)}` }),
    h(
      "div",
      { className: "ends" },
      ends.map((end) => h("span", {}, end)),
    ),
  );
}

/** A bar to the left or right of zero, for a number among others of at most size `most`. */
function bar(x, most) {
  const share = most > 0 ? Math.min(1, Math.abs(x) / most) * 50 : 0;
  const style = { width: `${share}%`, left: x < 0 ? `${50 - share}%` : "50%" };
  return h("span", { className: "diverging" }, h("span", { className: x < 0 ? "minus" : "plus", style }));
}
