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
    h("strong", {}, breakable(path)),
    h("span", {}, kind === path ? null : breakable(kind)),
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

/** What the loss takes: scores, their powers (of e, the largest brought to 1), and the shares that softmax makes of them. */
function ending() {
  const last = data.layers.at(-1);
  const apart = last.form.type === "softmax";
  const scores = arrayOf(last, apart ? "input" : "before");
  const most = Math.max(...scores);
  const powers = Array.from(scores, (z) => Math.exp(z - most));
  const whole = powers.reduce((a, b) => a + b, 0);
  const shares = data.softmax ? arrayOf(last, "output") : powers.map((power) => power / whole);
  const gradients = arrayOf(last, apart ? "grad_input" : "grad_before");
  return { scores, powers, whole, shares, gradients, giver: apart ? last.takes : last.path };
}

function answer() {
  const { shares } = ending();
  const best = shares.indexOf(Math.max(...shares));
  return `${data.classes[best]}, ${(100 * shares[best]).toFixed(1)} %`;
}

function probabilityBars() {
  const bars = Array.from(ending().shares, (share) => h("span", { style: { width: `${100 * share}%` } }));
  return h("span", { className: "shares" }, bars);
}

/** The loss: from scores to probabilities to the gradient with which everything backwards starts. */
function drawLoss() {
  const { scores, powers, whole, shares, gradients, giver } = ending();
  const labelled = data.label !== null;
  const rows = data.classes.map((name, k) =>
    h(
      "tr",
      { className: k === data.label ? "chosen" : "" },
      h("th", { scope: "row" }, name),
      h("td", {}, text(scores[k], 6)),
      h("td", {}, text(powers[k], 6)),
      h("td", {}, h("span", { className: "share", style: { width: `${(6 * powers[k]) / whole}rem` } })),
      h("td", {}, exact(shares[k])),
      labelled ? [h("td", {}, Number(k === data.label)), h("td", {}, exact(gradients[k]))] : null,
    ),
  );
  const heads = ["class", "score z", "exp(z − largest)", "", `share of ${text(whole, 6)}`];
  if (labelled) heads.push("target", "gradient = share − target");
  const ends = labelled
    ? [
        h(
          "p",
          {},
          "Cross-entropy loss = −log(share of ",
          h("strong", {}, data.classes[data.label]),
          ") = ",
          exact(data.loss),
          ".",
        ),
        h(
          "p",
          {},
          "Its gradient to each score is share − target: to make the loss smaller, the score of the right class should grow and the others shrink, each by how far its share is from the target. From here the gradient goes back, layer by layer.",
        ),
        h(
          "p",
          {},
          h("button", { type: "button", onclick: () => look({ layer: giver, back: true }) }, `Go back into ${giver}`),
        ),
      ]
    : h("p", {}, "No label was given, so there is no loss and no gradient.");
  return [
    heading(labelled ? "loss: where the gradient starts" : "The classes"),
    h("p", {}, "Softmax turns the scores of the last layer into shares that add up to 1."),
    tableOf(heads, rows),
    ends,
  ];
}
