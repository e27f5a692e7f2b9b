"use strict";
// The number that is looked at: its terms, their sum, and the sum beside what the engine computed.

const LISTED = 12; // terms, or channels, in a list
const WINDOW = 64; // cells that a grid may have

function drawNumber() {
  const section = document.getElementById("number");
  if (state.layer === "loss") return fill(section);
  const layer = layers.get(state.layer);
  const found = sumShown();
  const shape = state.back ? layer.input_shape : layer.shape;
  const title = `${state.back ? "Gradient to the input of" : "Output of"} ${layer.path} at ${placeName(state.at, shape)}`;
  if (!found) {
    return fill(
      section,
      heading(title),
      h(
        "p",
        {},
        state.back && layer.form.type !== "unknown"
          ? "The loss takes softmax and logarithm together, so no gradient to the shares exists; see the loss."
          : "What the numbers of this kind of layer are made of is not known to this page; they are those that the engine gave.",
      ),
    );
  }
  fill(
    section,
    heading(title),
    h("p", {}, state.back ? explainBack(layer, found) : explain(layer, found)),
    equation(layer, found),
    asGrid(layer, found) ? [slices(layer, found), grids(layer, found)] : list(layer, found),
  );
}

function asGrid(layer, { rows, columns, rest }) {
  return (
    ["convolution", "pool", "enlarged", "whole"].includes(layer.form.type) &&
    rows * columns > 0 &&
    rows * columns <= WINDOW &&
    !rest.count
  );
}

function explain(layer, found) {
  const terms = found.positions.length + found.rest.count;
  const { type } = layer.form;
  if (type === "convolution" && layer.form.transposed)
    return `Each input is laid down times a whole kernel; ${count(terms, "of these products", "of these products")} fall on this place. They are added up${found.bias ? ", with the bias" : ""}.`;
  if (type === "convolution")
    return `The window covers ${found.rows} × ${found.columns} cells in ${count(found.depth, "channel")}: ${count(terms, "input")}, each times its own weight of filter ${state.at % layer.shape[2]}, added up, plus the bias. In the padding, inputs are 0.`;
  if (layer.form.max) {
    const at = unravel(winner(layer, state.at), layer.input_shape);
    return `Of the ${count(found.positions.filter((p) => p >= 0).length, "number")} in the ${type === "whole" ? "channel" : "window"} the largest goes on: the one at row ${at[0]}, column ${at[1]}. The others count for nothing, and get no gradient.`;
  }
  if (type === "pool" || type === "whole")
    return `The mean of ${count(found.positions.filter((p) => p >= 0).length, "number")} of channel ${state.at % layer.shape.at(-1)}.`;
  if (type === "dense")
    return `All ${count(terms, "input")}, each times its own weight of unit ${state.at}, added up, plus the bias.`;
  if (type === "norm") {
    const { mean, variance, gamma, beta, scale } = normOf(layer, state.at);
    return [
      `(x − mean) / √(variance + ε) · γ + β, with the ${layer.form.pixel ? `pixel’s mean over its ${count(layer.shape.at(-1), "channel")},` : "channel’s moving mean"} `,
      exact(mean),
      " and variance ",
      exact(variance),
      ` (ε ${layer.form.epsilon}), γ `,
      exact(gamma),
      ", β ",
      exact(beta),
      `: x times ${text(scale, 6)}, plus ${text(found.bias, 6)}.`,
    ];
  }
  if (type === "softmax")
    return "exp(z) over the sum of all classes’ exp(z). Drawn here as its tangent: by how much it grows with each score.";
  if (type === "element")
    return `${layer.form.function} of the input x: ${FUNCTIONS[layer.form.function].words}. Drawn here as the straight line that it is around this number.`;
  if (type === "enlarged") return "Pixels of the smaller picture, by how near they lie.";
  if (type === "padded")
    return found.positions[0] < 0 ? "In the padding: 0." : "The same number, further in by the padding.";
  if (type === "block" && layer.form.beside)
    return `The paths’ channels lie beside each other; this one is channel ${found.positions[0] % layer.form.widths[found.operands[0]]} of ${found.names[0]}.`;
  if (type === "block")
    return found.positions.length > 1
      ? `What the block’s ${found.positions.length} paths gave, added up.`
      : "What the block’s last layer gave.";
  return layer.kind === "Dropout" || layer.kind === "Augmentation"
    ? `${layer.kind} does nothing outside of training: the number itself.`
    : "The same number in another place.";
}

function explainBack(layer, found) {
  const terms = found.positions.length + found.rest.count;
  if (layer.form.type === "block")
    return `${layer.form.beside ? "Each path gets the gradient to its own channels" : "Each path gets the same gradient"}; what comes back through ${layer.form.first.length > 1 ? "them is added up" : "it is this"}.`;
  const start =
    terms === 0
      ? "No output used this input, so its gradient is 0."
      : `This input has a part in ${count(terms, "output")}. Each hands back its own gradient times the weight between the two`;
  if (!terms) return start;
  if (layer.form.max) return `${start}: 1 where it won.`;
  return `${start}; added up, that is how fast the loss grows with this input.${layer.activation ? ` The gradients are those before ${layer.activation}${layer.activation === "ReLU" ? ": 0 where it gave 0" : ""}.` : ""}`;
}

function equation(layer, found) {
  const key = state.back ? "grad_input" : "before";
  const engine = arrayOf(layer, key)[state.at];
  const largest = layer.form.max && !state.back;
  const total = h("strong", { id: "sum" }, exact(found.total));
  const biased = found.bias !== 0 || (layer.form.bias !== undefined && !state.back);
  const lines = [
    h(
      "p",
      {},
      !biased
        ? h("span", { className: "step" }, largest ? "the largest = " : "sum of the products = ", total)
        : [
            h("span", { className: "step" }, "sum of the products ", exact(found.total - found.bias)),
            h("span", { className: "step" }, " + bias ", exact(found.bias)),
            h("span", { className: "step" }, " = ", total),
          ],
    ),
  ];
  if (!state.back && layer.activation) {
    lines[0].append(
      h(
        "span",
        { className: "step" },
        ` → ${layer.activation} → `,
        h("strong", { id: "after" }, exact(arrayOf(layer, "output")[state.at])),
      ),
    );
  }
  const difference = Math.abs(engine - found.total);
  lines.push(
    h(
      "p",
      { className: "faint" },
      `The engine’s number, in ${arrayOf(layer, key).BYTES_PER_ELEMENT * 8} bits: `,
      h("span", { id: "engine" }, exact(engine)),
      found.rest.count
        ? ", from which the terms that are not in this page were taken."
        : difference === 0
          ? ", the same."
          : `; ${text(difference, 2)} apart, by rounding.`,
    ),
  );
  const [after, before] = ["grad_output", "grad_before"].map((key) => !state.back && arrayOf(layer, key));
  const grad = after || before;
  if (grad)
    lines.push(
      h(
        "p",
        { className: "faint" },
        "The loss’s gradient to it: ",
        exact(grad[state.at]),
        after && layer.activation ? [`; before ${layer.activation}: `, exact(before[state.at])] : null,
        ". ",
        h(
          "button",
          { type: "button", className: "link", onclick: () => look(onwards(layer, state.at)) },
          "Where does that come from?",
        ),
      ),
    );
  return h("div", { className: "equation" }, lines);
}

/** The channels' parts of a sum, largest first; a click shows that channel. */
function slices(layer, found) {
  if (found.depth < 2) return null;
  const parts = slicesOf(found);
  const order = [...parts.keys()].sort((a, b) => Math.abs(parts[b]) - Math.abs(parts[a]));
  const shown = order.slice(0, LISTED);
  const most = Math.abs(parts[order[0]]);
  const rest = order.slice(LISTED).reduce((total, k) => total + parts[k], 0);
  const word = state.back ? "filter" : "channel";
  return h(
    "div",
    {},
    h("h3", {}, `The sum, ${word} by ${word}`),
    h(
      "ul",
      { className: "parts" },
      shown.map((k) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              id: `slice-${k}`,
              "aria-pressed": String(k === state.other),
              onclick: () => look({ other: k }),
            },
            h("span", {}, `${word} ${found.first + k}`),
            bar(parts[k], most),
            h("span", { className: "figure" }, text(parts[k])),
          ),
        ),
      ),
      order.length > LISTED
        ? h(
            "li",
            { className: "rest" },
            h("span", {}, `${order.length - LISTED} others`),
            bar(rest, most),
            h("span", { className: "figure" }, text(rest)),
          )
        : null,
    ),
  );
}

/** Numbers, weights and products of one channel, as they lie. */
function grids(layer, found) {
  const { rows, columns, depth } = found;
  const places = Array.from({ length: rows * columns }, (_, at) => at * depth + Math.min(state.other, depth - 1));
  const values = layer.arrays[state.back ? "grad_before" : "input"];
  const weights = Float64Array.from(places, (i) => found.weights[i]);
  const products = Float64Array.from(places, (i) => found.products[i]);
  const total = products.reduce((a, b) => a + b, 0);
  const tensor = (name, cells) =>
    h(
      "figure",
      { className: "grid" },
      h("figcaption", {}, name),
      h(
        "table",
        {},
        h(
          "tbody",
          {},
          Array.from({ length: rows }, (_, r) => h("tr", {}, cells.slice(r * columns, (r + 1) * columns))),
        ),
      ),
    );
  const kernel = layer.form.type === "convolution";
  const shownWeight = kernel ? weightShown() : null;
  const whole = kernel ? scaleOf(layer.form.kernel) : { end: 1, kind: "signed" };
  const cell = (x, scale, action, label, mark) =>
    h(
      "td",
      { style: Number.isNaN(x) ? {} : inked(x, scale), className: mark ? "chosen" : "", title: text(x, 9) },
      action
        ? h("button", { type: "button", onclick: action, "aria-label": `${label} ${text(x)}` }, brief(x))
        : Number.isNaN(x)
          ? "–"
          : brief(x),
    );
  const first = places.map((i) => {
    const at = found.positions[i];
    const won = layer.form.max && found.weights[i] === 1;
    if (at < 0) return h("td", { className: "padding", title: "padding" }, layer.form.type === "pool" ? "–" : "0");
    return cell(
      found.values[i],
      scaleOf(values, isImage(layer, state.back ? "" : "input")),
      () => look(state.back ? onwards(layer, at) : backwards(layer, at)),
      "Go to",
      won,
    );
  });
  const second = places.map((i) =>
    cell(
      found.weights[i],
      whole,
      kernel ? () => look({ weight: found.places[i] }) : null,
      "Weight",
      kernel && found.places[i] === shownWeight,
    ),
  );
  const third = places.map((i) => cell(found.products[i], scaleFor(products), null));
  const channel =
    depth > 1 ? `, ${state.back ? "filter" : "channel"} ${found.first + Math.min(state.other, depth - 1)}` : "";
  return h(
    "div",
    {},
    h(
      "div",
      { className: "grids" },
      tensor(`${state.back ? "gradients" : "inputs"}${channel}`, first),
      h("span", { className: "sign" }, "×"),
      tensor("weights", second),
      h("span", { className: "sign" }, "="),
      tensor("products", third),
      h("span", { className: "sum" }, h("span", { className: "sign" }, "Σ "), exact(total)),
    ),
    h(
      "p",
      { className: "faint" },
      `Click ${state.back ? "a gradient" : "an input"} to go on to it${kernel ? ", a weight to see its gradient and to change it" : ""}.`,
    ),
  );
}

/** The largest terms, largest first, and what the others add up to. */
function list(layer, found) {
  // After a maximum stand the next largest, which lost.
  const order = [...found.products.keys()].sort(
    (a, b) => Math.abs(found.products[b]) - Math.abs(found.products[a]) || found.values[b] - found.values[a],
  );
  const shown = order.slice(0, LISTED);
  const most = Math.abs(found.products[order[0]]);
  const others = order.slice(LISTED).reduce((total, i) => total + found.products[i], 0) + found.rest.total;
  const hidden = order.length - shown.length + found.rest.count;
  const go = (i) => {
    const at = found.positions[i];
    if (!state.back) return look(backwards(layer, at, found.operands?.[i]));
    return look(layer.form.type === "block" ? intoPath(layer, at, i) : onwards(layer, at));
  };
  const name = (i) =>
    found.names?.[i] ??
    (state.back ? placeName(found.positions[i], layer.shape) : originName(layer, found.positions[i]));
  const canChange = found.places !== undefined;
  const rows = shown.map((i) =>
    h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        found.positions[i] < 0
          ? "padding"
          : h("button", { type: "button", className: "link", onclick: () => go(i) }, breakable(name(i))),
      ),
      h("td", {}, text(found.values[i], 5)),
      h(
        "td",
        {},
        canChange
          ? h(
              "button",
              {
                type: "button",
                className: "link",
                "aria-label": `Change weight ${text(found.weights[i])}`,
                onclick: () => look({ weight: found.places[i] }),
              },
              text(found.weights[i], 5),
            )
          : text(found.weights[i], 5),
      ),
      h("td", {}, text(found.products[i], 5)),
      h("td", {}, bar(found.products[i], most)),
    ),
  );
  if (hidden) {
    rows.push(
      h(
        "tr",
        { className: "rest" },
        h("th", { scope: "row" }, `${hidden.toLocaleString("en")} others`),
        h("td"),
        h("td"),
        h("td", {}, text(others, 5)),
        h("td", {}, bar(others, most)),
      ),
    );
  }
  const heads = [state.back ? "output" : "input", state.back ? "its gradient" : "its value", "weight", "product", ""];
  return h(
    "div",
    {},
    order.length > 1
      ? h("h3", {}, hidden ? `The largest of ${count(order.length + found.rest.count, "term")}` : "The terms")
      : null,
    tableOf(heads, rows),
    found.rest.count
      ? h(
          "p",
          { className: "faint" },
          `The layer has ${sizeOf(layer.form.kernel_shape).toLocaleString("en")} weights; of those with more than ${data.whole.toLocaleString("en")} this page holds the ones with the largest products, and the sum of the others.`,
        )
      : null,
  );
}
