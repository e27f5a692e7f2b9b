"use strict";
// The same convolution as one matrix product: each window is a row, each filter a column.

function drawColumns() {
  const section = document.getElementById("columns");
  const layer = layers.get(state.layer);
  if (state.back || layer?.form.type !== "convolution" || layer.form.transposed) return fill(section);
  const found = termsOf(layer, state.at);
  const [height, width, filters] = layer.shape;
  const [row, column, filter] = unravel(state.at, layer.shape);
  const size = { windows: height * width, terms: found.positions.length, filters: filters / layer.form.groups };
  const group =
    layer.form.groups > 1
      ? ` Each of the ${layer.form.groups} groups of channels has a product of its own; in its group, filter ${filter} is column ${filter % size.filters}.`
      : "";
  fill(
    section,
    heading("The same as one matrix product (im2col)"),
    h(
      "p",
      {},
      `Write the ${count(size.terms, "number")} under each window into a row: that is a matrix with ${count(size.windows, "row")}, one for each output pixel. Each filter, written out the same way, is a column. This output is row ${row * width + column} times column ${filter % size.filters}.${group}`,
    ),
    matrices(size, row * width + column, filter % size.filters),
    h(
      "div",
      { className: "strips" },
      strip(
        `row ${row * width + column}: the inputs`,
        found.values,
        scaleOf(layer.arrays.input, isImage(layer, "input")),
      ),
      strip(`column ${filter % size.filters}: the weights`, found.weights, scaleOf(layer.form.kernel)),
      strip("their products", found.products, scaleFor(found.products)),
      running(found),
    ),
  );
}

function strip(name, values, scale) {
  const canvas = h("canvas", { role: "img", "aria-label": `${name}, ${count(values.length, "number")}` });
  paint(canvas, values, { height: 1, width: values.length, channels: 1, size: values.length }, 0, scale);
  return h("figure", {}, h("figcaption", {}, name), canvas);
}

/** The sum as it grows from left to right, from 0 to the dot product; then the bias. */
function running({ products, bias, total }) {
  const sums = [0];
  for (const product of products) sums.push(sums.at(-1) + product);
  const [low, high] = scan(sums);
  const span = high - low || 1;
  const y = (x) => 58 - (56 * (x - low)) / span;
  const points = sums.map((x, i) => `${(600 * i) / products.length},${y(x).toFixed(2)}`).join(" ");
  const end = sums.at(-1);
  return h(
    "figure",
    {},
    h(
      "figcaption",
      {},
      "added up from left to right: from 0 to ",
      exact(end),
      ", plus the bias ",
      exact(bias),
      " = ",
      h("strong", {}, exact(total)),
    ),
    svg(
      "svg",
      {
        viewBox: "0 0 600 60",
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `The running sum ends at ${text(end)}`,
      },
      svg("line", { x1: 0, x2: 600, y1: y(0), y2: y(0), class: "zero" }),
      svg("polyline", { points, class: "sums" }),
    ),
  );
}

/** The three matrices, not to scale, with the row, the column and the cell that belong together. */
function matrices({ windows, terms, filters }, row, filter) {
  const [P, K, F] = [150, 90, 60];
  const drawing = svg("svg", {
    viewBox: "0 0 372 190",
    class: "matrices",
    role: "img",
    "aria-label": `A matrix of ${windows} by ${terms} times one of ${terms} by ${filters}: row ${row}, column ${filter}`,
  });
  const place = (at, n, length) => Math.min(length - 3, (at / n) * length);
  const matrix = (x, wide, tall, name, size, marks) => {
    drawing.append(svg("rect", { x, y: 34, width: wide, height: tall, class: "matrix" }));
    for (const [mx, my, mw, mh] of marks)
      drawing.append(svg("rect", { x: x + mx, y: 34 + my, width: mw, height: mh, class: "mark" }));
    const label = (y, text, kind) =>
      drawing.append(Object.assign(svg("text", { x: x + wide / 2, y, class: kind }), { textContent: text }));
    label(12, name, "name");
    label(27, size, "size");
  };
  const [r, f] = [place(row, windows, P), place(filter, filters, F)];
  const size = (a, b) => `${a.toLocaleString("en")} × ${b.toLocaleString("en")}`;
  matrix(6, K, P, "windows", size(windows, terms), [[0, r, K, 3]]);
  matrix(144, F, K, "filters", size(terms, filters), [[f, 0, 3, K]]);
  matrix(266, F, P, "outputs", size(windows, filters), [[f - 1, r - 1, 5, 5]]);
  for (const [x, sign] of [
    [120, "×"],
    [236, "="],
  ])
    drawing.append(Object.assign(svg("text", { x, y: 84, class: "sign" }), { textContent: sign }));
  return drawing;
}
