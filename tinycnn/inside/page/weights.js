"use strict";
// One weight of a convolution: over which positions its gradient is summed, and what the layer gives if it changes.

/** The channel on the wide side that a weight is for: kernels of groups count from their group's first. */
function channelOf({ form: { kernel_shape: shape, groups } }, [, , d, filter]) {
  return Math.floor(filter / (shape[3] / groups)) * shape[2] + d;
}

/** Visit the window positions: the wide and the narrow cell that a weight joins there, and the position itself. */
function pairsOf(layer, place, visit) {
  const { rows, columns, kernel_shape: shape } = layer.form;
  const [i, j, d, filter] = unravel(place, shape);
  const [[height, width, channels], [down, across, filters]] = sides(layer);
  const channel = channelOf(layer, [i, j, d, filter]);
  for (let row = 0; row < down; row++) {
    const r = row * rows.stride + i * rows.dilation - rows.before;
    for (let column = 0; column < across; column++) {
      const c = column * columns.stride + j * columns.dilation - columns.before;
      const inside = r >= 0 && r < height && c >= 0 && c < width;
      const wide = inside ? (r * width + c) * channels + channel : -1;
      const narrow = (row * across + column) * filters + filter;
      visit(wide, narrow, row * across + column);
    }
  }
}

/** A kernel weight's gradient: input times gradient at each window position, and their sum. */
function weightGradient(layer, place) {
  const [wideArray, narrowArray] = layer.form.transposed
    ? [arrayOf(layer, "grad_before"), arrayOf(layer, "input")]
    : [arrayOf(layer, "input"), arrayOf(layer, "grad_before")];
  if (!wideArray || !narrowArray) return null;
  const [, [height, width]] = sides(layer);
  const products = new Float64Array(height * width);
  let total = 0;
  pairsOf(layer, place, (wide, narrow, at) => {
    products[at] = wide < 0 ? 0 : wideArray[wide] * narrowArray[narrow];
    total += products[at];
  });
  return { products, height, width, total };
}

/** The output channel that a kernel weight acts on, before the activation, with `change` added to the weight. */
function changedChannel(layer, place, change) {
  const [, , d, filter] = unravel(place, layer.form.kernel_shape);
  const [height, width, channels] = layer.shape;
  const channel = layer.form.transposed ? d : filter;
  const before = arrayOf(layer, "before");
  const x = arrayOf(layer, "input");
  const z = Float64Array.from({ length: height * width }, (_, at) => before[at * channels + channel]);
  pairsOf(layer, place, (wide, narrow) => {
    if (wide < 0) return;
    if (layer.form.transposed) z[Math.floor(wide / channels)] += change * x[narrow];
    else z[Math.floor(narrow / channels)] += change * x[wide];
  });
  return { z, channel, height, width };
}

/** A number after the layer's activation; null for one that is not known here. */
function activated(layer, z) {
  if (!layer.activation) return z;
  return FUNCTIONS[layer.activation]?.value(z, layer.options) ?? null;
}
