"use strict";
// Unpack, draw, and listen.

function draw() {
  const focused = document.activeElement;
  const holder = focused.closest("section");
  document.querySelector("main").classList.toggle("alone", state.layer === "loss");
  markCard();
  drawLayer();
  drawNumber();
  drawChange();
  drawColumns();
  drawPath();
  say();
  // What was clicked has been drawn anew: the focus stays where it was, or at the head of its section.
  if (holder && !focused.isConnected) {
    const id = focused.id === "far" ? "own" : focused.id;
    ((id && document.getElementById(id)) || holder.querySelector("h2"))?.focus({ preventScroll: true });
  }
}

function markCard() {
  const row = document.getElementById("network");
  for (const card of row.querySelectorAll(".card")) {
    const own = card.dataset.layer === state.layer;
    card.setAttribute("aria-current", String(own));
    if (!own) continue;
    const hidden = Math.max(0, card.offsetLeft + card.offsetWidth - row.offsetLeft - row.clientWidth - row.scrollLeft);
    row.scrollLeft += hidden || Math.min(0, card.offsetLeft - row.offsetLeft - row.scrollLeft);
  }
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
  const label =
    data.label === null
      ? []
      : [" Its label is ", h("strong", {}, data.classes[data.label]), ", the loss ", text(data.loss), "."];
  const called = data.softmax || data.loss !== null ? ["The network says ", h("strong", {}, answer()), "."] : [];
  fill(
    document.getElementById("about"),
    called,
    label,
    " Click a layer, then a pixel: below stands what its number is made of",
    data.loss === null ? "." : ", and where its gradient comes from.",
  );
}

async function start() {
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("wait").textContent =
      "This browser is too old to unpack the numbers: a version from 2023 or later can.";
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
