"use strict";
// A layer: its facts, the two sides of the number that is looked at, and all channels as pictures.

let shownChannels = ""; // for which layer and view the channels are painted

function drawLayer() {
  const section = document.getElementById("layer");
  const pictures = document.getElementById("pictures");
  if (state.layer === "loss") {
    fill(section, drawLoss());
    fill(pictures);
    shownChannels = "";
    return;
  }
  const layer = layers.get(state.layer);
  const what = `${layer.path} ${state.back} ${state.view}`;
  if (shownChannels !== what) {
    fill(
      section,
      heading(layer.path, " ", h("span", { className: "faint" }, layer.kind)),
      directions(layer),
      h("div", { className: "maps" }, h("div", { id: "left" }), h("div", { id: "right" })),
      h("p", { className: "faint" }, "Click a pixel, or step with the arrow keys; [ and ] change the channel."),
      h(
        "details",
        {},
        h("summary", {}, "What this layer costs and sees"),
        h(
          "dl",
          { className: "facts" },
          layer.facts.map(([name, fact]) => h("div", {}, h("dt", {}, name), h("dd", {}, fact))),
        ),
      ),
    );
    fill(pictures, views(layer), h("div", { id: "channels" }));
    drawChannels(layer);
    shownChannels = what;
  }
  drawSides(layer);
  markChannels(layer);
}

function directions(layer) {
  const button = (back, name) =>
    h(
      "button",
      {
        type: "button",
        id: back ? "backward" : "forward",
        "aria-pressed": String(state.back === back),
        onclick: () => look({ back }),
      },
      name,
    );
  return h(
    "div",
    { className: "choices", role: "group", "aria-label": "Direction" },
    button(false, "Forward: what makes an output"),
    "grad_input" in layer.arrays ? button(true, "Backward: an input’s gradient") : null,
  );
}

function views(layer) {
  const shape = state.back ? layer.input_shape : layer.shape;
  const channels = pictureOf(shape).channels;
  const number = layer.arrays[state.view];
  return h(
    "div",
    { className: "views" },
    heading(
      channels > 1
        ? `All ${channels} channels of the ${state.back ? "input" : "output"}`
        : `The ${state.back ? "input" : "output"}`,
    ),
    h(
      "div",
      { className: "choices", role: "group", "aria-label": "What the pictures show" },
      viewsOf(layer, state.back).map(([key, name]) =>
        h(
          "button",
          {
            type: "button",
            id: `view-${key}`,
            "aria-pressed": String(state.view === key),
            onclick: () => look({ view: key }),
          },
          name,
        ),
      ),
    ),
    legend(scaleOf(number, isImage(layer, state.view))),
  );
}

function isImage(layer, key) {
  return key === "input" && layer.sources[0] === "image";
}

function drawChannels(layer) {
  const picture = pictureOf(state.back ? layer.input_shape : layer.shape);
  const number = layer.arrays[state.view];
  const scale = scaleOf(number, isImage(layer, state.view));
  const grid = document.getElementById("channels");
  grid.className = picture.width > 96 ? "broad" : "";
  grid.replaceChildren(
    ...Array.from({ length: picture.channels }, (_, channel) => {
      const canvas = h("canvas", { role: "img", "aria-label": `${nameOfView(layer)}, channel ${channel}` });
      paint(canvas, array(number), picture, channel, scale);
      return h(
        "figure",
        { "data-channel": channel, onclick: (event) => pick(event, picture, channel) },
        h("div", { className: "map" }, canvas),
        h("figcaption", {}, picture.channels > 1 ? channel : ""),
      );
    }),
  );
}

function nameOfView(layer) {
  return viewsOf(layer, state.back).find(([key]) => key === state.view)[1];
}

/** Look at the number under the pointer. */
function pick(event, picture, channel) {
  const at = underPointer(event, event.currentTarget.querySelector("canvas") ?? event.currentTarget, picture, channel);
  if (at !== null) look({ at });
}

function underPointer(event, canvas, { height, width, channels, size }, channel) {
  const box = canvas.getBoundingClientRect();
  const column = Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)));
  const row = Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)));
  const at = (row * width + column) * channels + channel;
  return at < size ? at : null;
}

function markChannels(layer) {
  const picture = pictureOf(state.back ? layer.input_shape : layer.shape);
  const chosen = state.at % picture.channels;
  for (const figure of document.querySelectorAll("#channels figure")) {
    const own = Number(figure.dataset.channel) === chosen;
    figure.classList.toggle("chosen", own);
    figure.querySelector(".box")?.remove();
    if (own) figure.firstChild.append(frame(cellOf(state.at, picture), picture));
  }
}

function cellOf(index, { width, channels }) {
  const cell = Math.floor(index / channels);
  const [row, column] = [Math.floor(cell / width), cell % width];
  return { top: row, left: column, bottom: row + 1, right: column + 1 };
}

/** A frame on a picture, around whole cells. */
function frame({ top, left, bottom, right }, { height, width }) {
  return h("div", {
    className: "box",
    style: {
      top: `${(100 * top) / height}%`,
      left: `${(100 * left) / width}%`,
      height: `${(100 * (bottom - top)) / height}%`,
      width: `${(100 * (right - left)) / width}%`,
    },
  });
}

/** The smallest frame around some positions of an array; none if they lie all over it. */
function around(positions, picture) {
  if (positions.length > WINDOW) return null;
  const cells = positions.filter((at) => at >= 0).map((at) => cellOf(at, picture));
  if (!cells.length) return null;
  const edge = (pick, key) => cells.reduce((found, cell) => pick(found, cell[key]), cells[0][key]);
  return {
    top: edge(Math.min, "top"),
    left: edge(Math.min, "left"),
    bottom: edge(Math.max, "bottom"),
    right: edge(Math.max, "right"),
  };
}

/** Left the layer's input, right its output, each in one channel: the number on one of them, its terms on the other. */
function drawSides(layer) {
  const found = sumShown();
  const other =
    found?.positions.find((at, i) => at >= 0 && i % found.depth === state.other) ??
    found?.positions.find((at) => at >= 0) ??
    0;
  const left = {
    shape: layer.input_shape,
    key: state.back ? "grad_input" : "input",
    name: state.back ? "gradient to input" : layer.sources[0] === "image" ? "the image" : "input",
  };
  const key = state.back ? "grad_before" : ["before", "output"].includes(state.view) ? state.view : "before";
  const right = {
    shape: layer.shape,
    key,
    name:
      key === "grad_before"
        ? "gradient to output"
        : layer.activation
          ? `${key} ${layer.activation}`.replace("output", "after")
          : "output",
  };
  const [own, far] = state.back ? [left, right] : [right, left];
  Object.assign(own, { at: state.at, chosen: true });
  Object.assign(far, { at: other, positions: found?.positions ?? [] });
  fill(document.getElementById("left"), side(layer, left, state.back ? "own" : "far"));
  fill(document.getElementById("right"), side(layer, right, state.back ? "far" : "own"));
}

function side(layer, { shape, key, name, at, chosen, positions }, id) {
  const picture = pictureOf(shape);
  const channel = at % picture.channels;
  const number = layer.arrays[key];
  const scale = scaleOf(number, isImage(layer, key));
  const canvas = h("canvas");
  paint(canvas, array(number), picture, channel, scale);
  const box = chosen
    ? cellOf(at, picture)
    : around(
        positions.filter((position) => position % picture.channels === channel),
        picture,
      );
  const onclick = (event) => {
    const clicked = underPointer(event, canvas, picture, channel);
    const back = id === "own" ? state.back : !state.back;
    if (clicked !== null && (!back || "grad_input" in layer.arrays)) look({ back, at: clicked });
  };
  const channels = picture.channels > 1 ? `, channel ${channel} of ${picture.channels}` : "";
  return h(
    "figure",
    { className: chosen ? "chosen" : "" },
    h("figcaption", {}, `${name}${channels}`),
    h(
      "div",
      {
        className: "map large",
        id,
        tabIndex: chosen ? 0 : -1,
        role: "application",
        onclick,
        onkeydown: chosen ? step : null,
        "aria-label": `${name}${channels}; ${chosen ? `at ${placeName(at, shape)}: ${text(array(number)[at])}` : "the frame shows what takes part"}. Arrow keys step.`,
        style: { aspectRatio: `${picture.width} / ${picture.height}` },
      },
      canvas,
      box ? frame(box, picture) : null,
    ),
    legend(scale),
  );
}

/** Arrow keys: one pixel on; [ and ]: one channel on. */
function step(event) {
  const layer = layers.get(state.layer);
  const picture = pictureOf(state.back ? layer.input_shape : layer.shape);
  const cell = cellOf(state.at, picture);
  let channel = state.at % picture.channels;
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (event.key === "[" || event.key === "]") channel += event.key === "]" ? 1 : -1;
  else if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const [down, right] = moves[event.key] ?? [0, 0];
  const [row, column] = [cell.top + down, cell.left + right];
  const at = (row * picture.width + column) * picture.channels + channel;
  const inside = row >= 0 && row < picture.height && column >= 0 && column < picture.width;
  if (!inside || channel < 0 || channel >= picture.channels || at >= picture.size) return;
  look({ at });
}
