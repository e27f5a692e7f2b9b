"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const frames = data.frames;
const find = (id) => document.getElementById(id);
// Dark below zero, light above, grey at zero; and for losses from dark (low) to pale (high). Both in order of lightness.
const SIGNED = [[4, 32, 79], [47, 95, 158], [141, 146, 152], [232, 185, 60], [255, 246, 196]];
const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

function colour(stops, t) {
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return stops[i].map((low, c) => Math.round(low + (at - i) * (stops[i + 1][c] - low)));
}

function number(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  const text = value === 0 ? "0" : size >= 1e4 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−");
}

function node(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function shape(parent, name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

// Curves over the epochs: at most two on one axis, the second dashed.
function chart(title, keys) {
  const figure = node("figure"), svg = shape(figure, "svg", { viewBox: "0 0 340 150", role: "img" });
  const known = keys.filter((key) => data.history[key]);
  const values = known.flatMap((key) => data.history[key]);
  const high = Math.max(...values, 1e-12), low = Math.min(...values, 0), n = data.history[known[0]].length;
  const x = (i) => 58 + (272 * i) / Math.max(1, n - 1), y = (value) => 124 - (108 * (value - low)) / (high - low);
  for (const value of [low, (low + high) / 2, high]) {
    shape(svg, "line", { class: "axis", x1: 58, x2: 330, y1: y(value), y2: y(value) });
    shape(svg, "text", { x: 54, y: y(value) + 4, "text-anchor": "end" }, number(value));
  }
  shape(svg, "text", { x: 58, y: 142 }, "epoch 1");
  shape(svg, "text", { x: 330, y: 142, "text-anchor": "end" }, String(n));
  known.forEach((key, k) => {
    const points = data.history[key].map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
    shape(svg, "polyline", { class: `curve ${["first", "second"][k]}`, points: points.join(" ") });
    if (n === 1) shape(svg, "circle", { class: "bar", cx: x(0), cy: y(data.history[key][0]), r: 3 });
  });
  const mark = shape(svg, "line", { class: "mark", y1: 12, y2: 124 });
  const caption = node("figcaption");
  figure.append(caption);
  find("curves").append(figure);
  return (frame) => {
    const i = frame.epoch - 1;
    mark.setAttribute("x1", x(i));
    mark.setAttribute("x2", x(i));
    const said = known.map((key, k) => `${key.replace("val_", "validation ").replace("_", " ")} ${number(data.history[key][i])}${k ? " (dashed)" : ""}`).join(", ");
    caption.textContent = said;
    svg.setAttribute("aria-label", `${title} over ${n} epochs; at epoch ${frame.epoch}: ${said}`);
  };
}

// Kernels, one canvas each, with a pixel for each weight.
function kernels() {
  const first = frames[0].kernels;
  if (!first) {
    find("kernel-section").hidden = true;
    return () => {};
  }
  const [rows, columns, channels, n] = first.shape;
  const canvases = Array.from({ length: n }, () => node("canvas", { width: columns, height: rows, role: "img" }));
  find("kernels").append(...canvases);
  const some = n < first.of ? `The first ${n} of ${first.of} kernels` : `All ${n} kernels`;
  const kind = channels === 3 ? "red, green and blue are the three channels, grey is 0"
    : `${channels > 1 ? `means over ${channels} channels; ` : ""}dark is negative, grey 0, light positive`;
  return (frame) => {
    const { values, scale, layer } = frame.kernels;
    find("kernel-note").textContent = `${some} of ${layer}, ${rows} × ${columns}: ${kind}. One scale, from ${number(-scale)} to ${number(scale)}.`;
    canvases.forEach((canvas, k) => {
      const context = canvas.getContext("2d"), pixels = context.createImageData(columns, rows);
      for (let place = 0; place < rows * columns; place++) {
        const of = (c) => values[(place * channels + c) * n + k] / 127;
        let total = 0;
        for (let c = 0; c < channels; c++) total += of(c);
        const rgb = channels === 3 ? [0, 1, 2].map((c) => 127.5 + 127.5 * of(c)) : colour(SIGNED, (total / channels + 1) / 2);
        pixels.data.set([...rgb, 255], 4 * place);
      }
      context.putImageData(pixels, 0, 0);
      canvas.setAttribute("aria-label", `kernel ${k} at epoch ${frame.epoch}`);
    });
  };
}

// Histograms: one axis for all epochs, from the least to the largest number of any.
function histogram(parent, path, kind) {
  const figure = node("figure"), svg = shape(figure, "svg", { viewBox: "0 0 200 68", role: "img" });
  const all = frames.map((frame) => frame.layers[path][kind]).filter((one) => one);
  const caption = node("figcaption", {}, all.length ? kind : "");
  figure.append(caption);
  parent.append(figure);
  if (!all.length) {
    svg.remove();
    return () => {};
  }
  const low = Math.min(...all.map((one) => one[0])), high = Math.max(...all.map((one) => one[1]));
  const x = (value) => 4 + (192 * (value - low)) / (high - low);
  const bars = shape(svg, "g", {});
  shape(svg, "line", { class: "axis", x1: 4, x2: 196, y1: 66, y2: 66 });
  if (low < 0 && high > 0) shape(svg, "line", { class: "zero", x1: x(0), x2: x(0), y1: 2, y2: 66 });
  const ends = node("div", { class: "ends" });
  ends.append(node("span", {}, number(low)), node("span", {}, number(high)));
  caption.before(ends);
  return (frame) => {
    const [from, to, counts] = frame.layers[path][kind], most = Math.max(...counts), width = (to - from) / counts.length;
    bars.replaceChildren();
    counts.forEach((count, i) => {
      const left = x(from + i * width), right = x(from + (i + 1) * width);
      // The square root keeps rare numbers in sight beside common ones.
      const tall = 62 * Math.sqrt(count / most);
      if (count) shape(bars, "rect", { class: "bar", x: left, y: 66 - tall, width: Math.max(right - left, 0.8), height: tall });
    });
    svg.setAttribute("aria-label", `${kind} of ${path} at epoch ${frame.epoch}: from ${number(from)} to ${number(to)}`);
  };
}

function layer(path) {
  const row = node("div", { class: "layer" }), words = node("div"), said = node("p");
  words.append(node("h3", {}, path), said);
  row.append(words);
  find("layers").append(row);
  const draw = ["activations", "gradients", "weights"].map((kind) => histogram(row, path, kind));
  return (frame) => {
    const { dead, ratio } = frame.layers[path], parts = [];
    if (ratio !== null) parts.push(`step / weights ${number(ratio)}`);
    if (dead !== null) parts.push(`dead ReLUs ${number(100 * dead)} %`);
    said.textContent = parts.join(", ");
    draw.forEach((one) => one(frame));
  };
}

// The plane through the end point.
function plane() {
  const slice = data.slice;
  if (!slice) {
    find("slice-section").hidden = true;
    return;
  }
  const { at, losses } = slice, n = at.length, side = 300 / n, known = losses.flat().filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known), middle = (n - 1) / 2;
  // Losses far away dwarf those nearby: colours go by the logarithm of the height above the lowest.
  const height = (value) => Math.log1p((99 * (value - low)) / (high - low || 1)) / Math.log(100);
  find("slice-note").textContent = `Loss of ${slice.images} ${slice.of} images when the weights move along two random directions, each filter of a direction as long as the filter itself: ±${number(at[n - 1])} is the weights' own length. The frame marks the weights that training left.`;
  const svg = shape(find("slice"), "svg", { viewBox: "0 0 340 340", role: "group", "aria-label": "Loss on a plane through the weights; arrow keys move over it" });
  const cells = losses.map((row, i) => row.map((value, j) => {
    const fill = value === null ? "none" : `rgb(${colour(HEAT, height(value)).join(",")})`;
    const place = { x: 36 + j * side, y: 4 + (n - 1 - i) * side, width: side, height: side };
    return shape(svg, "rect", { ...place, class: "cell", fill, tabindex: i === middle && j === middle ? 0 : -1, role: "img",
      "aria-label": `loss ${number(value)} at ${number(at[i])}, ${number(at[j])}` });
  }));
  for (const kind of ["end-shadow", "end"]) {
    shape(svg, "rect", { class: kind, x: 36 + middle * side + 3, y: 4 + middle * side + 3, width: side - 6, height: side - 6, "pointer-events": "none" });
  }
  [0, middle, n - 1].forEach((i) => {
    shape(svg, "text", { x: 36 + (i + 0.5) * side, y: 318, "text-anchor": "middle" }, number(at[i]));
    shape(svg, "text", { x: 32, y: 8 + (n - 1 - i + 0.5) * side, "text-anchor": "end" }, number(at[i]));
  });
  shape(svg, "text", { x: 186, y: 335, "text-anchor": "middle" }, "along the second direction");
  shape(svg, "text", { transform: "translate(10 154) rotate(-90)", "text-anchor": "middle" }, "along the first direction");
  const legend = shape(find("slice"), "svg", { class: "legend", viewBox: "0 0 90 310", role: "img", "aria-label": `Colours from ${number(low)} (dark) to ${number(high)} (pale)` });
  for (let k = 0; k < 50; k++) shape(legend, "rect", { x: 4, y: 298 - 6 * k, width: 16, height: 6.3, fill: `rgb(${colour(HEAT, k / 49).join(",")})` });
  for (const t of [0, 0.25, 0.5, 0.75, 1]) {
    shape(legend, "text", { x: 26, y: 304 - 294 * t }, number(low + ((high - low || 1) * (Math.pow(100, t) - 1)) / 99));
  }
  const tell = (i, j) => {
    const where = i === middle && j === middle ? "the weights themselves" : `${number(at[i])} along the first direction, ${number(at[j])} along the second`;
    find("slice-value").textContent = `Loss ${losses[i][j] === null ? "not finite" : losses[i][j].toFixed(6)} at ${where}.`;
  };
  cells.forEach((row, i) => row.forEach((cell, j) => {
    cell.addEventListener("pointerenter", () => tell(i, j));
    cell.addEventListener("focus", () => tell(i, j));
    cell.addEventListener("keydown", (event) => {
      const [down, right] = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
      const next = (cells[i + down] || [])[j + right];
      if (!(down || right) || !next) return;
      event.preventDefault();
      cell.setAttribute("tabindex", -1);
      next.setAttribute("tabindex", 0);
      next.focus();
    });
  }));
  tell(middle, middle);
}

const draws = [chart("loss", ["loss", "val_loss"])];
if (data.history.accuracy) draws.push(chart("accuracy", ["accuracy", "val_accuracy"]));
draws.push(chart("learning rate", ["learning_rate"]), kernels(), ...Object.keys(frames[0].layers).map(layer));
find("layer-note").textContent = `From ${data.images} training images: what each layer gives (after its activation), the loss's gradient to its weights, and the weights; counts as square roots, one axis for all epochs. "Step / weights" is the length of the epoch's last step over that of the weights before it (about 0.001 is usual); a dead ReLU gives 0 for all of these images.`;
plane();

const slider = find("epoch"), play = find("play");
slider.max = frames.length - 1;
function show() {
  const frame = frames[slider.value], last = data.history.loss.length;
  find("shown").textContent = `epoch ${frame.epoch} of ${last}, loss ${number(data.history.loss[frame.epoch - 1])}`;
  slider.setAttribute("aria-valuetext", `epoch ${frame.epoch}`);
  draws.forEach((draw) => draw(frame));
}
let running = null;
function stop() {
  clearInterval(running);
  running = null;
  play.textContent = "Play";
}
play.addEventListener("click", () => {
  if (running !== null) return stop();
  if (Number(slider.value) === frames.length - 1) slider.value = 0;
  play.textContent = "Stop";
  show();
  running = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    show();
    if (Number(slider.value) === frames.length - 1) stop();
  }, Math.max(80, 6000 / frames.length));
});
slider.addEventListener("input", () => {
  stop();
  show();
});
slider.value = frames.length - 1;
show();
document.documentElement.dataset.ready = Math.round(performance.now());
