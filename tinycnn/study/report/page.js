"use strict";
// Without this script the page shows everything too: it adds values under the pointer, sorting, filters, enlargement.

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// Charts: the nearest point says its value; arrow keys go from point to point.
const tip = make("div", { id: "tip", hidden: true });
tip.setAttribute("role", "status");
document.body.append(tip);
for (const chart of document.querySelectorAll(".chart > svg")) {
  const dots = [...chart.querySelectorAll(".dot")];
  const place = (dot) => {
    const box = dot.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  let lit = null;
  const light = (dot) => {
    lit?.classList.remove("lit");
    lit = dot;
    tip.hidden = !dot;
    if (!dot) return;
    dot.classList.add("lit");
    tip.textContent = dot.dataset.tip;
    const [x, y] = place(dot);
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x - width / 2, document.documentElement.clientWidth - width - 4))}px`;
    tip.style.top = `${y - height - 10 < 0 ? y + 12 : y - height - 10}px`;
  };
  chart.addEventListener("pointermove", (event) => {
    let nearest = null, least = 60;  // pixels
    for (const dot of dots) {
      const [x, y] = place(dot);
      const distance = Math.hypot(x - event.clientX, y - event.clientY);
      if (distance < least) [nearest, least] = [dot, distance];
    }
    if (nearest !== lit) light(nearest);
  });
  chart.addEventListener("pointerleave", () => light(null));
  chart.addEventListener("blur", () => light(null));
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") light(null);
    if (!step || !dots.length) return;
    event.preventDefault();
    const next = lit ? dots.indexOf(lit) + step : step > 0 ? 0 : dots.length - 1;
    light(dots[(next + dots.length) % dots.length]);
  });
}

// Tables: a click on a heading sorts by it, another turns the order round.
const number = (text) => {
  const found = text.replace(/,/g, "").match(/^\s*[-+]?\d*\.?\d+(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
};
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    if (!head.textContent) continue;
    const button = make("button", { type: "button", title: "sort by this column" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const rows = [...body.rows];
      const key = (row) => row.cells[column].textContent;
      const numeric = rows.every((row) => row.cells[column].className !== "text" &&
        (key(row) === "-" || !isNaN(number(key(row)))));
      const value = (row) => (key(row) === "-" ? -Infinity : number(key(row)));
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      rows.sort((a, b) =>
        sign * (numeric ? value(a) - value(b) || 0 : key(a).localeCompare(key(b), undefined, { numeric: true })));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      body.append(...rows);
    });
  }
}

// Predictions: filters, order, and an image enlarged among those that are shown.
const gallery = document.querySelector(".gallery");
if (gallery) {
  const figures = [...gallery.children];
  const names = (key) => [...new Set(figures.map((figure) => figure.dataset[key]))].sort();
  const choice = (label, ...options) => {
    const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
    controls.append(make("label", {}, label, select));
    select.addEventListener("change", start);
    return select;
  };
  const button = (text, action) => {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", action);
    return made;
  };
  const controls = make("div", { className: "controls" });
  const every = (key) => [["", "any"], ...names(key).map((name) => [`=${name}`, name])];
  const is = choice("class", ...every("true"));
  const called = choice("called", ...every("called"));
  const verdict = choice("prediction", ["", "right or wrong"], ["right", "right"], ["wrong", "wrong"]);
  const order = choice(
    "order", ["", "as in the set"], ["sure", "surest first"], ["unsure", "least sure first"]);
  const search = make("input", { type: "search", placeholder: "part of a name" });
  search.addEventListener("input", start);
  const count = make("output");
  controls.append(make("label", {}, "name", search), count);
  (document.querySelector(".scale") ?? gallery).before(controls);

  const step = 120;  // figures at a time: thousands would make the page slow
  let room = step;
  const more = make("div", { className: "buttons" }, button("show more", () => refresh((room += step))));
  gallery.after(more);

  function refresh() {
    const sign = { sure: -1, unsure: 1 }[order.value] ?? 0;
    const fits = (figure) => {
      const data = figure.dataset;
      return (!is.value || is.value === `=${data.true}`) && (!called.value || called.value === `=${data.called}`) &&
        (!verdict.value || figure.className === verdict.value) &&
        figure.querySelector("figcaption").textContent.toLowerCase().includes(search.value.toLowerCase());
    };
    const found = figures.filter(fits).sort((a, b) => sign * (a.dataset.sure - b.dataset.sure));
    const shown = new Set(found.slice(0, room));
    for (const figure of figures) figure.hidden = !shown.has(figure);
    gallery.append(...found);
    more.hidden = found.length <= room;
    count.textContent = `${found.length} of ${figures.length}` + (more.hidden ? " shown" : `, ${room} of them shown`);
  }

  function start() {
    room = step;
    refresh();
  }
  start();

  const viewer = make("dialog", { id: "viewer" });
  viewer.setAttribute("aria-label", "enlarged image");
  const enlarged = make("figure");
  const scale = document.querySelector(".scale")?.cloneNode(true);
  let current = null;
  const open = (figure) => {
    current = figure;
    const image = figure.querySelector("img");
    enlarged.className = figure.className;
    enlarged.replaceChildren(
      make("img", { src: image.src, alt: image.alt }), figure.querySelector("figcaption").cloneNode(true));
    if (!viewer.open) viewer.showModal();
  };
  const go = (step) => {
    const shown = [...gallery.children].filter((figure) => !figure.hidden && figure.querySelector("img"));
    open(shown[(shown.indexOf(current) + step + shown.length) % shown.length]);
  };
  viewer.append(enlarged, ...(scale ? [scale] : []), make("div", { className: "buttons" },
    button("previous", () => go(-1)), button("next", () => go(1)), button("close", () => viewer.close())));
  document.body.append(viewer);
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });
  for (const figure of figures) {
    const image = figure.querySelector("img");
    if (!image) continue;
    const opener = make("button", { type: "button", className: "open", title: "enlarge" });
    image.replaceWith(opener);
    opener.append(image);
    opener.addEventListener("click", () => open(figure));
  }
}
