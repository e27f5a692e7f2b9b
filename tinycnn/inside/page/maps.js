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
  return key === "input" && layer.takes === "image";
}

function drawChannels(layer) {
  const picture = pictureOf(state.back ? layer.input_shape : layer.shape);
  const number = layer.arrays[state.view];
  const scale = scaleOf(number, isImage(layer, state.view));
  const grid = document.getElementById("channels");
  grid.className = picture.width > 96 ? "broad" : "";
  grid.replaceChildren(
    ...Array.from({ length: picture.channels }, (_, channel) => {
      const canvas = h("canvas");
      paint(canvas, array(number), picture, channel, scale);
      return h(
        "figure",
        { "data-channel": channel },
        h(
          "button",
          {
            type: "button",
            className: "map",
            "aria-label": `${nameOfView(layer)}, channel ${channel}`,
            onclick: (event) => pick(event, picture, channel),
            onkeydown: (event) => stepChannel(event, picture, channel),
          },
          canvas,
        ),
        h("figcaption", {}, picture.channels > 1 ? channel : ""),
      );
    }),
  );
}

function nameOfView(layer) {
  return viewsOf(layer, state.back).find(([key]) => key === state.view)[1];
}

/** Look at the number under the pointer; chosen by a key, at this channel's in the same place. */
function pick(event, picture, channel) {
  const here = state.at - (state.at % picture.channels) + channel;
  const at = event.detail ? underPointer(event, event.currentTarget.firstChild, picture, channel) : here;
  if (at !== null) look({ at });
}

/** Arrow keys: to the channel beside, above or below. */
function stepChannel(event, picture, channel) {
  const buttons = [...document.querySelectorAll("#channels button")];
  const across = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  const next = channel + moves[event.key];
  if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (next < 0 || next >= picture.channels) return;
  look({ at: state.at - (state.at % picture.channels) + next });
  buttons[next].focus();
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
    figure.firstChild.tabIndex = own ? 0 : -1; // one stop for the tab key; the arrow keys go on
    figure.firstChild.setAttribute("aria-pressed", String(own));
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
  const left = inputSide(layer, found);
  const right = outputSide(layer);
  const [own, far] = state.back ? [left, right] : [right, left];
  own.at = state.at;
  // What comes back through a block's layers lies in other pictures than its output; units lie nowhere.
  const there = (at, i) => !(state.back && layer.form.first?.[i]);
  far.positions = found && layer.form.type !== "dense" ? [...found.positions].filter(there) : [];
  if (layer.form.type === "whole" && layer.form.max && !state.back) far.positions = [winner(layer, state.at)];
  const inside = far.positions.filter((at) => at >= 0);
  far.at = far.positions.find((at, i) => at >= 0 && i % found.depth === state.other) ?? inside[0] ?? 0;
  fill(document.getElementById("left"), side(left, left === own));
  fill(document.getElementById("right"), side(right, right === own));
}

function inputSide(layer, found) {
  const back = "grad_input" in layer.arrays;
  const go = (at) => (back ? look({ back, at }) : null);
  if (state.back) return { shape: layer.input_shape, number: layer.arrays.grad_input, name: "gradient to input", go };
  if (layer.form.type === "block") {
    // Of the numbers that are put together here, the largest one's picture.
    const operand = found.operands[largestOf(found.products)];
    const source = layers.get(layer.sources[operand]);
    const number = source ? source.arrays.output : layer.arrays.input;
    return {
      shape: source ? source.shape : layer.input_shape,
      number,
      name: layer.sources[operand],
      go: (at) => look(backwards(layer, at, operand)),
    };
  }
  const image = isImage(layer, "input");
  return { shape: layer.input_shape, number: layer.arrays.input, image, name: image ? "the image" : "input", go };
}

function outputSide(layer) {
  const go = (at) => look({ back: false, at });
  const before = layer.activation ? `before ${layer.activation}` : "output";
  const [key, name] =
    state.back && "grad_before" in layer.arrays
      ? ["grad_before", "gradient to output"]
      : state.view === "output"
        ? ["output", `after ${layer.activation}`]
        : ["before", before];
  return { shape: layer.shape, number: layer.arrays[key], name, go };
}

/** One of the two pictures; `own` is the one with the number that is looked at. */
function side({ shape, number, image, name, at, positions, go }, own) {
  const picture = pictureOf(shape);
  const channel = at % picture.channels;
  const scale = scaleOf(number, image);
  const canvas = h("canvas");
  paint(canvas, array(number), picture, channel, scale);
  const inChannel = (position) => position % picture.channels === channel;
  const box = own ? cellOf(at, picture) : around(positions.filter(inChannel), picture);
  const onclick = (event) => {
    const clicked = underPointer(event, canvas, picture, channel);
    if (clicked !== null) go(clicked);
  };
  const title = picture.channels > 1 ? `${name}, channel ${channel} of ${picture.channels}` : name;
  const what = own
    ? `at ${placeName(at, shape)}: ${text(array(number)[at])}. Arrow keys step.`
    : "The frame shows what takes part.";
  return h(
    "figure",
    { className: own ? "chosen" : "" },
    h("figcaption", {}, title),
    h(
      "div",
      {
        className: "map large",
        id: own ? "own" : "far",
        tabIndex: own ? 0 : -1,
        role: "application",
        onclick,
        onkeydown: own ? step : null,
        "aria-label": `${title}; ${what}`,
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
