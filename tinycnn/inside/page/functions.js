"use strict";
// Functions of one number, with the options of the layer: what they are in words, their value, and their slope.

const FUNCTIONS = {
  ReLU: { words: "max(x, 0)", value: (x) => Math.max(x, 0), slope: (x) => Number(x > 0) },
  ReLU6: {
    words: "max(x, 0), at most 6",
    value: (x) => Math.min(Math.max(x, 0), 6),
    slope: (x) => Number(x > 0 && x < 6),
  },
  LeakyReLU: {
    words: "x, below 0 a share of it",
    value: (x, { negative_slope: share }) => (x > 0 ? x : share * x),
    slope: (x, { negative_slope: share }) => (x > 0 ? 1 : share),
  },
  ELU: {
    words: "x, below 0 α (eˣ − 1)",
    value: (x, { alpha }) => (x > 0 ? x : alpha * Math.expm1(x)),
    slope: (x, { alpha }) => (x > 0 ? 1 : alpha * Math.exp(x)),
  },
  Sigmoid: { words: "1 / (1 + e⁻ˣ)", value: logistic, slope: (x) => logistic(x) * logistic(-x) },
  Tanh: { words: "tanh x", value: (x) => Math.tanh(x), slope: (x) => 1 - Math.tanh(x) ** 2 },
  Softplus: {
    words: "log(1 + eˣ)",
    value: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    slope: logistic,
  },
  SiLU: {
    words: "x / (1 + e⁻ˣ)",
    value: (x) => x * logistic(x),
    slope: (x) => logistic(x) * (1 + x * logistic(-x)),
  },
  GELU: {
    words: "x times the share of a normal distribution below x",
    value: (x, options) => x * below(x, options)[0],
    slope(x, options) {
      const [share, density] = below(x, options);
      return share + x * density;
    },
  },
  Rescaling: {
    words: "x times a constant, plus another",
    value: (x, { scale, offset }) => scale * x + offset,
    slope: (x, { scale }) => scale,
  },
};

function logistic(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/** The share of a normal distribution below x, and its density there; with tanh, what GELU takes in their place. */
function below(x, { approximate }) {
  if (approximate) {
    const t = Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
    return [(1 + t) / 2, ((1 - t * t) / 2) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x)];
  }
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (Math.abs(x) > 9) return [Number(x > 0), density];
  // Marsaglia's series: x + x^3/3 + x^5/(3 5) + ..., until nothing is added any more.
  let [term, total] = [x, 0];
  for (let k = 3; total + term !== total; k += 2) {
    total += term;
    term *= (x * x) / k;
  }
  return [0.5 + density * total, density];
}
