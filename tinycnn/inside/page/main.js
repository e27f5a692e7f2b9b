"use strict";
// Unpack, draw, and listen.

function draw() {
  for (const card of document.querySelectorAll("#network .card")) {
    card.toggleAttribute("aria-current", card.dataset.layer === state.layer);
    if (card.dataset.layer === state.layer) card.setAttribute("aria-current", "true");
  }
  drawLayer();
  drawNumber();
  drawChange();
  drawColumns();
  drawPath();
  say();
}

/** What a reader who cannot see the pictures hears after each step. */
function say() {
  const layer = layers.get(state.layer);
  const found = layer && sumShown();
  const shape = layer && (state.back ? layer.input_shape : layer.shape);
  document.getElementById("said").textContent = found
    ? `${layer.path}, ${placeName(state.at, shape)}: ${state.back ? "gradient" : "sum"} ${text(found.total)}`
    : state.layer;
}

function about() {
  const label = data.label === null ? [] : [" Its label is ", h("strong", {}, data.classes[data.label]), ", the loss ", text(data.loss), "."];
  const called = data.softmax ? ["The network says ", h("strong", {}, answer()), "."] : [];
  document.getElementById("about").replaceChildren(...called, ...label, " Click a layer, then a pixel: below stands what its number is made of, and where its gradient comes from.");
}

async function start() {
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("wait").textContent = "This browser is too old to unpack the numbers: a version from 2023 or later can.";
    return;
  }
  await unpack();
  about();
  drawNetwork();
  const first = data.layers.find((layer) => layer.form.type === "convolution") ?? data.layers[0];
  look(wanted(location.hash) ?? { layer: first.path, back: false });
  document.getElementById("wait").remove();
  document.documentElement.dataset.ready = Math.round(performance.now());
  window.addEventListener("hashchange", () => look(wanted(location.hash) ?? {}));
}

start();
