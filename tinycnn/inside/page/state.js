"use strict";
// What is being looked at; it stands in the address, so that it can be gone back to, and sent.

/** `layer`: path, or "loss"; `back`: whether `at` is an input, whose gradient is asked for, or an output;
 *  `other`: channel of the other side; `weight`: place in the kernel; `view`: which of the layer's arrays. */
const state = { layer: "", back: false, at: 0, other: 0, weight: null, view: "" };

let resting; // a timer

/** Change what is looked at, and draw it. */
function look(change) {
  Object.assign(state, change);
  if (state.layer !== "loss") complete(change);
  draw();
  // Browsers let an address be written a few times a second; a key held down would be more.
  clearTimeout(resting);
  resting = setTimeout(() => history.replaceState(null, "", `#${address()}`), 150);
}

/** Fill in what a change left open. */
function complete(change) {
  const layer = layers.get(state.layer);
  const moved = "layer" in change || "back" in change;
  if (moved && !("at" in change)) state.at = strongest(layer, state.back);
  if (moved && !("view" in change)) state.view = viewsOf(layer, state.back)[0][0];
  if ("layer" in change && !("weight" in change)) state.weight = null;
  if ((moved || "at" in change) && !("other" in change)) state.other = strongestSlice(sumShown());
}

/** The sum of the number that is looked at. */
function sumShown() {
  const layer = layers.get(state.layer);
  return state.back ? backOf(layer, state.at) : termsOf(layer, state.at);
}

/** The arrays that can be shown where the number lies, and their names. */
function viewsOf(layer, back) {
  const of = layer.activation ? [`before ${layer.activation}`, `after ${layer.activation}`] : ["output", null];
  const views = back
    ? [
        ["grad_input", "gradient to the input"],
        ["input", "input"],
      ]
    : [
        ["before", of[0]],
        ["output", of[1]],
        ["grad_before", `gradient ${of[1] ? of[0] : ""}`],
        ["grad_output", of[1] && `gradient ${of[1]}`],
      ];
  return views.filter(([key, name]) => name && key in layer.arrays);
}

/** The number with the most to tell: the largest of output times its gradient; backwards, of the gradient. */
function strongest(layer, back) {
  const values = arrayOf(layer, back ? "grad_input" : "output") ?? arrayOf(layer, "input");
  const grad = back ? null : (arrayOf(layer, "grad_output") ?? arrayOf(layer, "grad_before"));
  let best = 0;
  let most = -1;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i] * (grad ? grad[i] : 1));
    if (size > most) [best, most] = [i, size];
  }
  return best;
}

/** Sums over rows and columns of a sum's products, for each channel. */
function slicesOf(found) {
  const slices = new Float64Array(found.depth);
  found.products.forEach((product, i) => (slices[i % found.depth] += product));
  return slices;
}

function strongestSlice(found) {
  if (!found || found.depth < 2) return 0;
  const sizes = slicesOf(found).map(Math.abs);
  return sizes.indexOf(Math.max(...sizes));
}

function address() {
  const layer = layers.get(state.layer);
  if (!layer) return `layer=${state.layer}`;
  const at = unravel(state.at, state.back ? layer.input_shape : layer.shape).join(",");
  const weight = state.weight === null ? "" : `&weight=${unravel(state.weight, layer.form.kernel_shape).join(",")}`;
  return `layer=${encodeURIComponent(state.layer)}&${state.back ? "into" : "at"}=${at}${weight}`;
}

/** What an address asks for; null if it makes no sense here. */
function wanted(hash) {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const path = asked.get("layer");
  if (path === "loss") return { layer: "loss" };
  const layer = layers.get(path);
  if (!layer) return null;
  const change = { layer: path, back: asked.has("into") && "grad_input" in layer.arrays };
  const at = placeIn(asked.get(change.back ? "into" : "at"), change.back ? layer.input_shape : layer.shape);
  if (at !== null) change.at = at;
  const weight = layer.form.kernel === undefined ? null : placeIn(asked.get("weight"), layer.form.kernel_shape);
  return { ...change, weight };
}

function placeIn(given, shape) {
  const at = (given ?? "").split(",").map(Number);
  const fits =
    given && at.length === shape.length && at.every((i, axis) => Number.isInteger(i) && i >= 0 && i < shape[axis]);
  return fits ? ravel(at, shape) : null;
}

/** Where a number lies, in words. */
function placeName(index, shape) {
  const at = unravel(index, shape);
  if (shape.length === 3) return `row ${at[0]}, column ${at[1]}, channel ${at[2]}`;
  return shape.length === 1 ? `number ${at[0]}` : `place ${at.join(", ")}`;
}

/** Where an input of a layer lies, followed back through layers that only pass numbers on. */
function originName(layer, index) {
  let [path, shape] = [layer.takes, layer.input_shape];
  while (shape.length < 3 && layers.get(path)?.form.type === "same") {
    shape = layers.get(path).input_shape;
    path = layers.get(path).takes;
  }
  return `${path}: ${placeName(index, shape)}`;
}
