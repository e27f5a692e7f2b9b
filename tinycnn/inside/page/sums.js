"use strict";
// What one number is made of.  Every layer is, around the numbers it saw, a weighted sum: an output of inputs, and the
// gradient to an input of the outputs' gradients, by the same weights.  A sum is an object of
//   positions   of its terms, flat, in the layer's input or output; -1 in the padding
//   values, weights, products;  bias, total;  rows x columns x depth, its shape
//   rest        how many terms are not in this page, and what they add up to (large dense layers)

/** What makes output `index` of a layer, before its activation. */
function termsOf(layer, index) {
  return FORMS[layer.form.type].terms(layer, index);
}

/** What makes the gradient to input `index` of a layer; null where there is none. */
function backOf(layer, index) {
  if (!arrayOf(layer, "grad_before") || !arrayOf(layer, "grad_input")) return null;
  return FORMS[layer.form.type].back(layer, index);
}

function sum(positions, values, weights, more = {}) {
  const products = weights.map((w, i) => (w === 0 && Number.isNaN(values[i]) ? 0 : w * values[i]));
  const listed = products.reduce((total, product) => total + product, 0);
  const bias = more.bias ?? 0;
  const rest = more.rest ?? { count: 0, total: 0 };
  const shape = { rows: 1, columns: positions.length, depth: 1 };
  return { ...shape, ...more, positions, values, weights, products, bias, rest, total: listed + rest.total + bias };
}

function valuesAt(array, positions, outside = 0) {
  return Float64Array.from(positions, (at) => (at < 0 ? outside : array[at]));
}

/** A convolution's two sides: `wide`, over which its window moves, and `narrow`, with a cell for each position. */
function sides(layer) {
  return layer.form.transposed ? [layer.shape, layer.input_shape] : [layer.input_shape, layer.shape];
}

/** The cells of the wide side under the window of a narrow cell, and the places of their weights in the kernel. */
function under(layer, index) {
  const { rows, columns, groups } = layer.form;
  const [, , depth, filters] = layer.form.kernel_shape;
  const [[height, width, channels], narrow] = sides(layer);
  const [row, column, filter] = unravel(index, narrow);
  const first = Math.floor(filter / (filters / groups)) * depth;
  const positions = [];
  const places = [];
  for (let i = 0; i < rows.window; i++) {
    const r = row * rows.stride + i * rows.dilation - rows.before;
    for (let j = 0; j < columns.window; j++) {
      const c = column * columns.stride + j * columns.dilation - columns.before;
      const inside = r >= 0 && r < height && c >= 0 && c < width;
      for (let d = 0; d < depth; d++) {
        positions.push(inside ? (r * width + c) * channels + first + d : -1);
        places.push(((i * columns.window + j) * depth + d) * filters + filter);
      }
    }
  }
  return { positions, places, rows: rows.window, columns: columns.window, depth, first };
}

/** The narrow cells whose window covers a wide cell, and the places of the weights that it meets there. */
function over(layer, index) {
  const { rows, columns, groups } = layer.form;
  const [, , depth, filters] = layer.form.kernel_shape;
  const [wide, [, across]] = sides(layer);
  const [row, column, channel] = unravel(index, wide);
  const share = filters / groups;
  const first = Math.floor(channel / depth) * share;
  const down = outputsOver(rows, row);
  const right = outputsOver(columns, column);
  const positions = [];
  const places = [];
  for (const [r, i] of down) {
    for (const [c, j] of right) {
      for (let f = first; f < first + share; f++) {
        positions.push((r * across + c) * filters + f);
        places.push(((i * columns.window + j) * depth + (channel % depth)) * filters + f);
      }
    }
  }
  return { positions, places, rows: down.length, columns: right.length, depth: share, first };
}

/** Along one axis: the outputs whose window covers `position`, and with which of its cells. */
function outputsOver(axis, position) {
  const found = [];
  for (let cell = axis.window - 1; cell >= 0; cell--) {
    const ahead = position + axis.before - cell * axis.dilation;
    if (ahead >= 0 && ahead % axis.stride === 0 && ahead / axis.stride < axis.outputs) {
      found.push([ahead / axis.stride, cell]);
    }
  }
  return found;
}

function bySide(layer, index, reach, array, bias) {
  const { positions, places, ...shape } = reach(layer, index);
  const kernel = arrayNumbered(layer.form.kernel);
  const weights = Float64Array.from(places, (place) => kernel[place]);
  return sum(positions, valuesAt(array, positions), weights, { ...shape, places, bias });
}

function arrayNumbered(number) {
  return number === undefined ? null : array(number);
}

/** The window of a pool: positions, -1 outside, and the weight of each. */
function pooled(layer, index) {
  const { rows, columns } = layer.form;
  const [height, width, channels] = layer.input_shape;
  const [row, column, channel] = unravel(index, layer.shape);
  const positions = [];
  for (let i = 0; i < rows.window; i++) {
    const r = row * rows.stride + i * rows.dilation - rows.before;
    for (let j = 0; j < columns.window; j++) {
      const c = column * columns.stride + j * columns.dilation - columns.before;
      const inside = r >= 0 && r < height && c >= 0 && c < width;
      positions.push(inside ? (r * width + c) * channels + channel : -1);
    }
  }
  const inside = positions.filter((at) => at >= 0).length;
  const won = layer.form.max ? winner(layer, index) : -1;
  const share = (at) => (layer.form.max ? Number(at === won) : 1 / inside);
  const weights = Float64Array.from(positions, (at) => (at < 0 ? 0 : share(at)));
  return { positions, weights, rows: rows.window, columns: columns.window };
}

/** One term for each of some outputs: those that input `index` has a part in, and its weight there. */
function among(layer, candidates, weight) {
  const positions = [];
  const weights = [];
  for (const at of candidates) {
    const w = weight(at);
    if (w !== 0) {
      positions.push(at);
      weights.push(w);
    }
  }
  return sum(positions, valuesAt(arrayOf(layer, "grad_before"), positions), Float64Array.from(weights));
}

/** Scale and shift of a normalised number, by its channel's moving statistics or by those of its pixel's channels. */
function normOf(layer, index) {
  const channel = index % layer.shape.at(-1);
  const at = (key) => array(layer.form[key])[channel];
  const [mean, variance] = layer.form.pixel
    ? moments(Float64Array.from(pixelOf(layer, index), (i) => input(layer)[i]))
    : [at("moving_mean"), at("moving_variance")];
  const std = Math.sqrt(variance + layer.form.epsilon);
  const [gamma, beta] = [at("gamma"), at("beta")];
  return { mean, variance, gamma, beta, std, scale: gamma / std, bias: beta - (mean * gamma) / std };
}

/** Places of all channels of the pixel that a place lies in. */
function pixelOf(layer, index) {
  const channels = layer.shape.at(-1);
  return Array.from({ length: channels }, (_, channel) => index - (index % channels) + channel);
}

function moments(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return [mean, values.reduce((total, x) => total + (x - mean) ** 2, 0) / values.length];
}

/** How much an elementwise function's output changes per unit of its input. */
function slopeOf(layer, index) {
  return FUNCTIONS[layer.form.function].slope(input(layer)[index], layer.form.options);
}

/** A list of one term. */
function single(array, index, weight, bias = 0) {
  return sum([index], Float64Array.of(array[index]), Float64Array.of(weight), { bias });
}

/** Terms of a dense layer that is in the page by its largest ones: entry `index` of `kept`. */
function largest(kept, index, values, bias, total) {
  const places = array(kept.places).subarray(index * kept.count, (index + 1) * kept.count);
  const weights = Float64Array.from(array(kept.weights).subarray(index * kept.count, (index + 1) * kept.count));
  const found = sum([...places], valuesAt(values, places), weights, { bias });
  const rest = { count: values.length - kept.count, total: total - found.total };
  return { ...found, rest, total };
}

const input = (layer) => arrayOf(layer, "input");
const gradient = (layer) => arrayOf(layer, "grad_before");

const FORMS = {
  convolution: {
    terms(layer, index) {
      const bias = arrayNumbered(layer.form.bias)?.[index % layer.shape.at(-1)] ?? 0;
      return bySide(layer, index, layer.form.transposed ? over : under, input(layer), bias);
    },
    back: (layer, index) => bySide(layer, index, layer.form.transposed ? under : over, gradient(layer), 0),
  },
  pool: {
    terms(layer, index) {
      const { positions, weights, ...shape } = pooled(layer, index);
      return sum(positions, valuesAt(input(layer), positions, NaN), weights, shape);
    },
    back(layer, index) {
      const [row, column, channel] = unravel(index, layer.input_shape);
      const [, width, channels] = layer.shape;
      const over = outputsOver(layer.form.rows, row).flatMap(([r]) =>
        outputsOver(layer.form.columns, column).map(([c]) => (r * width + c) * channels + channel),
      );
      return among(layer, over, (at) => {
        const { positions, weights } = pooled(layer, at);
        return weights[positions.indexOf(index)];
      });
    },
  },
  dense: {
    terms(layer, unit) {
      const [inputs, units] = layer.form.kernel_shape;
      const bias = arrayNumbered(layer.form.bias)?.[unit] ?? 0;
      const kernel = arrayNumbered(layer.form.kernel);
      if (!kernel) return largest(layer.form.forward, unit, input(layer), bias, arrayOf(layer, "before")[unit]);
      const places = Array.from({ length: inputs }, (_, i) => i * units + unit);
      return sum(
        places.map((_, i) => i),
        Float64Array.from(input(layer)),
        valuesAt(kernel, places),
        { bias, places },
      );
    },
    back(layer, index) {
      const [, units] = layer.form.kernel_shape;
      const kernel = arrayNumbered(layer.form.kernel);
      if (!kernel) return largest(layer.form.backward, index, gradient(layer), 0, arrayOf(layer, "grad_input")[index]);
      const places = Array.from({ length: units }, (_, j) => index * units + j);
      return sum(
        places.map((_, j) => j),
        Float64Array.from(gradient(layer)),
        valuesAt(kernel, places),
        { places },
      );
    },
  },
  whole: {
    terms(layer, index) {
      const [height, width, channels] = layer.input_shape;
      const positions = Array.from({ length: height * width }, (_, i) => i * channels + (index % channels));
      const won = layer.form.max ? winner(layer, index) : -1;
      const share = (at) => (layer.form.max ? Number(at === won) : 1 / positions.length);
      const shape = { rows: height, columns: width };
      return sum(positions, valuesAt(input(layer), positions), Float64Array.from(positions, share), shape);
    },
    back(layer, index) {
      const [height, width, channels] = layer.input_shape;
      const share = (at) => (layer.form.max ? Number(winner(layer, at) === index) : 1 / (height * width));
      return among(layer, [index % channels], share);
    },
  },
  padded: {
    terms(layer, index) {
      const [row, column, channel] = unravel(index, layer.shape);
      const at = [row - layer.form.rows.before, column - layer.form.columns.before, channel];
      const inside = at.every((i, axis) => i >= 0 && i < layer.input_shape[axis]);
      const positions = [inside ? ravel(at, layer.input_shape) : -1];
      return sum(positions, valuesAt(input(layer), positions), Float64Array.of(1));
    },
    back(layer, index) {
      const [row, column, channel] = unravel(index, layer.input_shape);
      const at = [row + layer.form.rows.before, column + layer.form.columns.before, channel];
      return single(gradient(layer), ravel(at, layer.shape), 1);
    },
  },
  enlarged: {
    terms(layer, index) {
      const [row, column, channel] = unravel(index, layer.shape);
      const [, width, channels] = layer.input_shape;
      const [rows, r] = layer.form.rows[row];
      const [columns, c] = layer.form.columns[column];
      const positions = rows.flatMap((y) => columns.map((x) => (y * width + x) * channels + channel));
      const weights = Float64Array.from(r.flatMap((u) => c.map((v) => u * v)));
      return sum(positions, valuesAt(input(layer), positions), weights, { rows: rows.length, columns: columns.length });
    },
    back(layer, index) {
      const [row, column, channel] = unravel(index, layer.input_shape);
      const [, width, channels] = layer.shape;
      const share = (table, from) =>
        table.flatMap(([inputs, shares], at) => {
          const i = inputs.indexOf(from);
          return i < 0 ? [] : [[at, shares[i]]];
        });
      const weights = new Map();
      for (const [y, u] of share(layer.form.rows, row)) {
        for (const [x, v] of share(layer.form.columns, column))
          weights.set((y * width + x) * channels + channel, u * v);
      }
      return among(layer, weights.keys(), (at) => weights.get(at));
    },
  },
  norm: {
    terms(layer, index) {
      const { scale, bias } = normOf(layer, index);
      return single(input(layer), index, scale, bias);
    },
    back(layer, index) {
      const { mean, std, scale } = normOf(layer, index);
      if (!layer.form.pixel) return single(gradient(layer), index, scale);
      // Mean and variance depend on all channels of the pixel, so each of them has a part of this input.
      const positions = pixelOf(layer, index);
      const normalised = (at) => (input(layer)[at] - mean) / std;
      const gamma = array(layer.form.gamma);
      return among(layer, positions, (at) => {
        const own = Number(at === index) - (1 + normalised(at) * normalised(index)) / positions.length;
        return (gamma[at % positions.length] / std) * own;
      });
    },
  },
  element: {
    terms(layer, index) {
      const slope = slopeOf(layer, index);
      const straight = ["ReLU", "LeakyReLU"].includes(layer.form.function);
      return single(
        input(layer),
        index,
        slope,
        straight ? 0 : arrayOf(layer, "output")[index] - slope * input(layer)[index],
      );
    },
    back: (layer, index) => single(gradient(layer), index, slopeOf(layer, index)),
  },
  softmax: {
    terms(layer, index) {
      const found = slopesOfSoftmax(layer, index, input(layer));
      return { ...found, bias: arrayOf(layer, "output")[index] - found.total, total: arrayOf(layer, "output")[index] };
    },
    back: (layer, index) => slopesOfSoftmax(layer, index, gradient(layer)),
  },
  same: {
    terms: (layer, index) => single(input(layer), index, 1),
    back: (layer, index) => single(gradient(layer), index, 1),
  },
  block: {
    /** With `operands`: which of the sources each term is of. */
    terms(layer, index) {
      const { starts, widths } = layer.form;
      const channel = index % layer.shape.at(-1);
      const operands = [...starts.keys()].filter((k) => channel >= starts[k] && channel < starts[k] + widths[k]);
      const positions = operands.map((k) => ((index - channel) / layer.shape.at(-1)) * widths[k] + channel - starts[k]);
      const values = operands.map((k, i) => valueFrom(layer.sources[k], positions[i], layer));
      const names = operands.map((k) => layer.sources[k]);
      return sum(positions, Float64Array.from(values), new Float64Array(operands.length).fill(1), { operands, names });
    },
    /** Positions of paths without layers are in the block's output, others in their first layer's input. */
    back(layer, index) {
      const { first } = layer.form;
      const positions = first.map((path, k) => (path ? index : placeInBlock(layer, k, index)));
      const given = first.map((path) => (path ? arrayOf(layers.get(path), "grad_input") : gradient(layer)));
      const grads = given.map((array, k) => array[positions[k]]);
      const names = first.map((path) => path ?? `${layer.path}, past its layers`);
      return sum(positions, Float64Array.from(grads), new Float64Array(first.length).fill(1), { names });
    },
  },
  unknown: { terms: () => null, back: () => null },
};

function slopesOfSoftmax(layer, index, values) {
  const classes = layer.shape.at(-1);
  const first = index - (index % classes);
  const positions = Array.from({ length: classes }, (_, i) => first + i);
  const y = arrayOf(layer, "output");
  const weights = Float64Array.from(positions, (at) => y[at] * (Number(at === index) - y[index]));
  return sum(positions, valuesAt(values, positions), weights);
}

/** Where number `index` of a block's path `k` lies in the block's output. */
function placeInBlock(layer, k, index) {
  const { starts, widths } = layer.form;
  const channel = index % widths[k];
  return ((index - channel) / widths[k]) * layer.shape.at(-1) + starts[k] + channel;
}

/** A number of a layer that feeds `layer`; before the first stands the image. */
function valueFrom(path, index, layer) {
  return layers.has(path) ? arrayOf(layers.get(path), "output")[index] : arrayOf(layer, "input")[index];
}
