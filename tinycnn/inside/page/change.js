"use strict";
// One weight: where its gradient comes from, and what the layer would give with another value in its place.

/** The weight that was chosen, or else the one with the largest product in the channel that is shown. */
function weightShown() {
  const layer = layers.get(state.layer);
  if (layer?.form.kernel === undefined) return null;
  if (state.weight !== null) return state.weight;
  const found = sumShown();
  let best = null;
  found?.products.forEach((product, i) => {
    const here = found.depth === 1 || i % found.depth === state.other;
    if (here && (best === null || Math.abs(product) > Math.abs(found.products[best]))) best = i;
  });
  return best === null ? null : found.places[best];
}

function drawChange() {
  const section = document.getElementById("change");
  const place = weightShown();
  if (place === null) return fill(section);
  const layer = layers.get(state.layer);
  const weight = array(layer.form.kernel)[place];
  const at = unravel(place, layer.form.kernel_shape);
  const name =
    layer.form.type === "dense"
      ? `from input ${at[0]} to unit ${at[1]}`
      : layer.form.transposed
        ? `row ${at[0]}, column ${at[1]}, from channel ${at[3]} to filter ${at[2]}`
        : `row ${at[0]}, column ${at[1]}, from channel ${channelOf(layer, at)} to filter ${at[3]}`;
  fill(
    section,
    heading(`One weight: ${name}`),
    h("p", {}, "Its value is ", exact(weight), "."),
    ...(layer.form.type === "dense" ? [gradientOfDense(layer, at)] : [gradientMap(layer, place)]),
    whatIf(layer, place, weight),
  );
}

function gradientOfDense(layer, [position, unit]) {
  const grad = arrayOf(layer, "grad_before");
  if (!grad) return null;
  const x = arrayOf(layer, "input")[position];
  return h(
    "p",
    {},
    "Its gradient is input times gradient to the unit: ",
    exact(x),
    " × ",
    exact(grad[unit]),
    " = ",
    h("strong", { id: "weight-sum" }, exact(x * grad[unit])),
    ".",
  );
}

function gradientMap(layer, place) {
  const found = weightGradient(layer, place);
  if (!found) return null;
  const engine = array(layer.form.kernel_gradient)[place];
  const scale = scaleFor(found.products);
  const used = found.products.reduce((n, product) => n + (product !== 0), 0);
  const canvas = h("canvas", { role: "img", "aria-label": "input times gradient at each window position" });
  paint(
    canvas,
    found.products,
    { height: found.height, width: found.width, channels: 1, size: found.products.length },
    0,
    scale,
  );
  return h(
    "div",
    { className: "pair" },
    h(
      "figure",
      {},
      h("figcaption", {}, "input × gradient, at each position"),
      h("div", { className: "map large" }, canvas),
      legend(scale),
    ),
    h(
      "p",
      {},
      `The weight is used at all ${count(found.products.length, "position")} of the window, so its gradient is a sum over them: input there times gradient there, which is not 0 at ${used.toLocaleString("en")}. They add up to `,
      h("strong", { id: "weight-sum" }, exact(found.total)),
      "; the engine’s number is ",
      h("span", { id: "weight-engine" }, exact(engine)),
      ".",
    ),
  );
}

function whatIf(layer, place, weight) {
  const span = 2 * (scan(array(layer.form.kernel).map(Math.abs))[1] || 1);
  const result = h("div", { id: "changed" });
  const slider = h("input", { type: "range", id: "what-if", min: -span, max: span, step: span / 200, value: weight });
  const chosen = h("output", { for: "what-if" });
  const show = (value) => {
    chosen.replaceChildren(text(value, 6));
    slider.setAttribute("aria-valuetext", text(value));
    result.replaceChildren(
      ...(layer.form.type === "dense"
        ? changedUnit(layer, place, value - weight)
        : changedMap(layer, place, value - weight)),
    );
  };
  slider.oninput = () => show(Number(slider.value));
  const reset = h(
    "button",
    {
      type: "button",
      onclick: () => {
        slider.value = weight;
        show(weight);
      },
    },
    "As it was",
  );
  show(weight);
  return h(
    "div",
    {},
    h("h3", {}, "What if it were another number?"),
    h("p", { className: "slider" }, h("label", { htmlFor: "what-if" }, "weight "), slider, " ", chosen, " ", reset),
    result,
  );
}

/** By how much the loss would change, going along the gradient. */
function firstOrder(change, gradient) {
  return gradient === null
    ? null
    : h(
        "p",
        { className: "faint" },
        "By its gradient the loss would change by about ",
        text(change * gradient),
        " (the straight line at this point: the further, the less true).",
      );
}

function changedUnit(layer, place, change) {
  const [position, unit] = unravel(place, layer.form.kernel_shape);
  const z = arrayOf(layer, "before")[unit];
  const x = arrayOf(layer, "input")[position];
  const grad = arrayOf(layer, "grad_before");
  return [compare(layer, z, z + change * x, `unit ${unit}`), firstOrder(change, grad && grad[unit] * x)].filter(
    Boolean,
  );
}

function compare(layer, before, now, name) {
  const [a, b] = [activated(layer, before), activated(layer, now)];
  const known = layer.activation && a !== null;
  return h(
    "p",
    {},
    `${name}: `,
    exact(before),
    " becomes ",
    h("strong", { id: "what-if-sum" }, exact(now)),
    known ? [`; after ${layer.activation}: `, exact(a), " becomes ", exact(b)] : null,
    ".",
  );
}

function changedMap(layer, place, change) {
  if (change === 0)
    return [
      h("p", { className: "faint" }, "Move it, and its channel of the output is computed again, here in the page."),
    ];
  const { z, channel, height, width } = changedChannel(layer, place, change);
  const channels = layer.shape[2];
  const engine = arrayOf(layer, "before");
  const old = Float64Array.from(z, (_, at) => engine[at * channels + channel]);
  const picture = { height, width, channels: 1, size: z.length };
  const after = (values) => (activated(layer, 0) === null ? values : values.map((x) => activated(layer, x)));
  const [was, now] = [after(old), after(z)];
  const scale = scaleOf(layer.arrays.output);
  const difference = now.map((x, at) => x - was[at]);
  const drawn = (name, values, own) => {
    const canvas = h("canvas", { role: "img", "aria-label": name });
    paint(canvas, values, picture, 0, own);
    return h("figure", {}, h("figcaption", {}, name), h("div", { className: "map large" }, canvas), legend(own));
  };
  const at = state.back ? null : Math.floor(state.at / channels);
  const grad = layer.form.kernel_gradient === undefined ? null : array(layer.form.kernel_gradient)[place];
  return [
    at !== null && state.at % channels === channel ? compare(layer, old[at], z[at], "The output looked at") : null,
    firstOrder(change, grad),
    h(
      "div",
      { className: "threes" },
      drawn(`channel ${channel} as it was`, was, scale),
      drawn("with the other weight", now, scale),
      drawn("the difference", difference, scaleFor(difference)),
    ),
  ].filter(Boolean);
}
