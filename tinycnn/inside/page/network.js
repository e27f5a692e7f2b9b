"use strict";
// The network as a row: image, layers, loss; and the loss by itself.

function drawNetwork() {
  const first = data.layers[0];
  const cards = [
    card(
      "image",
      "the image",
      first.input_shape.join(" × "),
      "",
      (canvas) => paintImage(canvas, arrayOf(first, "input"), pictureOf(first.input_shape)),
      () => look({ layer: first.path, back: "grad_input" in first.arrays, at: middle(first.input_shape) }),
    ),
    ...data.layers.map((layer) => {
      const facts = Object.fromEntries(layer.facts);
      const cost = [
        facts.weights !== "0" && `${facts.weights} weights`,
        facts["multiplications forward"] !== "0" && `${short(facts["multiplications forward"])} multiplications`,
      ];
      const thumb = (canvas) =>
        paint(canvas, arrayOf(layer, "output"), pictureOf(layer.shape), layer.telling[0], scaleOf(layer.arrays.output));
      return card(
        layer.path,
        `${layer.kind}${layer.activation ? ` + ${layer.activation}` : ""}`,
        layer.shape.join(" × "),
        cost.filter(Boolean).join(", "),
        thumb,
        () => look({ layer: layer.path, back: false }),
      );
    }),
  ];
  if (data.loss !== null || data.softmax) {
    cards.push(
      card(
        "loss",
        data.loss === null ? "the classes" : "the loss",
        data.loss === null ? "" : text(data.loss),
        answer(),
        null,
        () => look({ layer: "loss" }),
      ),
    );
  }
  fill(document.getElementById("network"), cards);
}

function card(path, kind, shape, cost, thumb, onclick) {
  const canvas = thumb ? h("canvas", { "aria-hidden": "true" }) : null;
  if (thumb) thumb(canvas);
  return h(
    "button",
    { type: "button", className: "card", "data-layer": path, onclick },
    h("span", { className: "thumb" }, canvas ?? probabilityBars()),
    h("strong", {}, path),
    h("span", {}, kind === path ? null : kind),
    h("span", {}, shape),
    h("span", { className: "faint" }, cost),
  );
}

function short(number) {
  const n = Number(number.replaceAll(",", ""));
  return n < 1e6 ? number : n < 1e9 ? `${(n / 1e6).toPrecision(3)} M` : `${(n / 1e9).toPrecision(3)} G`;
}

function middle([height, width, channels]) {
  return (Math.floor(height / 2) * width + Math.floor(width / 2)) * channels;
}

/** The scores before a softmax at the end, and its probabilities. */
function ending() {
  const last = data.layers.at(-1);
  return { scores: arrayOf(last, "before"), shares: arrayOf(last, "output"), last };
}

function answer() {
  const { shares } = ending();
  const best = shares.indexOf(Math.max(...shares));
  return data.softmax ? `${data.classes[best]}, ${(100 * shares[best]).toFixed(1)} %` : "";
}

function probabilityBars() {
  if (!data.softmax) return h("span", { className: "sign" }, "L");
  return h(
    "span",
    { className: "shares" },
    [...ending().shares].map((share) => h("span", { style: { width: `${100 * share}%` } })),
  );
}

/** The loss: from scores to probabilities to the gradient with which everything backwards starts. */
function drawLoss() {
  const { scores: given, shares, last } = ending();
  const scores = last.form.type === "softmax" ? arrayOf(last, "input") : given;
  const gradients = arrayOf(last, last.form.type === "softmax" ? "grad_input" : "grad_before");
  const most = Math.max(...scores);
  const powers = Array.from(scores, (z) => Math.exp(z - most));
  const whole = powers.reduce((a, b) => a + b, 0);
  const target = (k) => Number(k === data.label);
  const rows = data.classes.map((name, k) =>
    h(
      "tr",
      { className: k === data.label ? "chosen" : "" },
      h("th", { scope: "row" }, name),
      h("td", {}, text(scores[k], 6)),
      h("td", {}, text(powers[k], 6)),
      h("td", {}, h("span", { className: "share", style: { width: `${(6 * powers[k]) / whole}rem` } })),
      h("td", {}, exact(shares[k])),
      data.label === null ? null : [h("td", {}, target(k)), h("td", {}, exact(gradients[k]))],
    ),
  );
  const heads = [
    "class",
    "score z",
    "exp(z − largest)",
    "",
    `share of ${text(whole, 6)}`,
    ...(data.label === null ? [] : ["target", "gradient = share − target"]),
  ];
  return h(
    "div",
    {},
    heading("loss: where the gradient starts"),
    h("p", {}, "Softmax turns the scores of the last layer into shares that add up to 1."),
    h(
      "div",
      { className: "wide" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            heads.map((head) => h("th", { scope: "col" }, head)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
    data.label === null
      ? h("p", {}, "No label was given, so there is no loss and no gradient.")
      : h(
          "p",
          {},
          "Cross-entropy loss = −log(share of ",
          h("strong", {}, data.classes[data.label]),
          ") = ",
          exact(data.loss),
          ". Its gradient to each score is share − target: to make the loss smaller, the score of the right class should grow and the others shrink, each by how far its share is from the target. From here the gradient goes back, layer by layer.",
        ),
    data.label === null
      ? null
      : h(
          "p",
          {},
          h(
            "button",
            { type: "button", onclick: () => look({ layer: last.path, back: true }) },
            `Go back into ${last.path}`,
          ),
        ),
  );
}
