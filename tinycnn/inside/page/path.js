"use strict";
// From number to number: back to the image by the largest terms, on to the loss by the largest gradients.

/** What to look at to see where input `position` of a layer comes from; of an image's pixel, where it goes. */
function backwards(layer, position, operand = 0) {
  const source = layers.get(layer.sources[operand]);
  if (source) return { layer: source.path, back: false, at: position };
  return { layer: layer.path, back: "grad_input" in layer.arrays, at: position };
}

/** What to look at to see where the gradient to output `position` of a layer comes from. */
function onwards(layer, position) {
  // Where paths fork, the gradient is what comes back to the outermost block, which stands behind those in it.
  const next = data.layers.findLast((other) => other.takes === layer.path) ?? takers(layer.path)[0];
  if (!next) return { layer: "loss" };
  if (next.takes === layer.path) return { layer: next.path, back: "grad_input" in next.arrays, at: position };
  return { layer: next.path, back: false, at: placeInBlock(next, next.sources.indexOf(layer.path), position) };
}

/** What to look at to see where term `i` of the gradient to a block's input comes from. */
function intoPath(layer, position, i) {
  const first = layer.form.first[i];
  return { layer: first ?? layer.path, back: first !== null, at: position };
}

/** The layers that take a layer's output. */
function takers(path) {
  return data.layers.filter((layer) => layer.sources.includes(path));
}

function largestOf(products) {
  let best = 0;
  products.forEach((product, i) => {
    if (Math.abs(product) > Math.abs(products[best])) best = i;
  });
  return best;
}

/** Steps before a number, from the image on: each the largest term of the next. */
function stepsBefore(path, index) {
  const steps = [];
  while (layers.has(path)) {
    const layer = layers.get(path);
    const found = termsOf(layer, index);
    if (!found || !found.positions.length) break;
    const best = largestOf(found.products.map((product, i) => (found.positions[i] < 0 ? 0 : product)));
    if (found.positions[best] < 0) break;
    path = layer.sources[found.operands?.[best] ?? 0];
    index = found.positions[best];
    steps.unshift({ path, index, into: layer, weight: found.weights[best], product: found.products[best] });
  }
  return steps;
}

/** Steps after a number, to the last layer: each the output that hands most gradient to the one before. */
function stepsAfter(path, index) {
  const steps = [];
  for (;;) {
    let best = null;
    for (const taker of path === "image" ? [data.layers[0], ...takers("image").slice(1)] : takers(path)) {
      const through = taker.form.type === "block" ? backToPath(taker, path, index) : backOf(taker, index);
      if (!through || !through.positions.length) continue;
      const i = largestOf(through.products);
      if (!best || Math.abs(through.products[i]) > Math.abs(best.product)) {
        best = {
          path: taker.path,
          index: through.positions[i],
          weight: through.weights[i],
          product: through.products[i],
        };
      }
    }
    if (!best) return steps;
    steps.push(best);
    ({ path, index } = best);
  }
}

/** The gradient that a block hands to number `index` of what its path gave. */
function backToPath(block, path, index) {
  return single(arrayOf(block, "grad_before"), placeInBlock(block, block.sources.indexOf(path), index), 1);
}

function drawPath() {
  const section = document.getElementById("path");
  if (state.layer === "loss") return fill(section);
  const layer = layers.get(state.layer);
  const here = { path: state.back ? layer.takes : layer.path, index: state.at };
  const before = stepsBefore(here.path, here.index);
  const after = data.loss === null ? [] : stepsAfter(here.path, here.index);
  const chain = [...before, { ...here, chosen: true }, ...after];
  const heads = ["layer", "place", "value", "× weight", data.loss === null ? null : "gradient"].filter(Boolean);
  const weights = [...before.map((step) => step.weight), ...after.map((step) => step.weight)];
  const rows = chain.map((step, i) => row(step, weights[i]));
  if (data.loss !== null && chain.at(-1).path !== ending().giver) {
    rows.push(
      h(
        "tr",
        { className: "rest" },
        h("th", { scope: "row" }, "no further"),
        h("td", { colSpan: 4, className: "words" }, "nothing behind used this number, so its gradient is 0"),
      ),
    );
  } else if (data.loss !== null) {
    rows.push(
      h(
        "tr",
        {},
        h(
          "th",
          { scope: "row" },
          h("button", { type: "button", className: "link", onclick: () => look({ layer: "loss" }) }, "loss"),
        ),
        h("td"),
        h("td", {}, text(data.loss, 5)),
        h("td"),
        h("td", {}, "1"),
      ),
    );
  }
  fill(
    section,
    heading(data.loss === null ? "One pixel’s way from the image" : "One pixel’s way, from the image to the loss and back"),
    h(
      "p",
      {},
      "Down: from the image to this number by the largest product each time",
      data.loss === null
        ? ". (Without a label there is no loss, and no gradient on its way back.) "
        : ", and on by the output that gives it most gradient. Up, in the last column: the gradient on its way back. ",
      before.length || after.length ? "Click a step to look at it." : "",
    ),
    tableOf(heads, rows),
  );
}

function row({ path, index, chosen }, weight) {
  const layer = layers.get(path);
  const first = data.layers[0];
  const value = layer ? arrayOf(layer, "output")[index] : arrayOf(first, "input")[index];
  const grad = layer ? (arrayOf(layer, "grad_output") ?? arrayOf(layer, "grad_before")) : arrayOf(first, "grad_input");
  const go = layer
    ? { layer: path, back: false, at: index }
    : { layer: first.path, back: "grad_input" in first.arrays, at: index };
  return h(
    "tr",
    { className: chosen ? "chosen" : "" },
    h("th", { scope: "row" }, h("button", { type: "button", className: "link", onclick: () => look(go) }, breakable(path))),
    h("td", {}, unravel(index, layer ? layer.shape : first.input_shape).join(", ")),
    h("td", {}, text(value, 5)),
    h("td", {}, weight === undefined ? "" : text(weight)),
    data.loss === null ? null : h("td", {}, grad ? text(grad[index]) : ""),
  );
}
