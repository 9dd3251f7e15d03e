// What was found: plain kNN beside the models, a column each; on narrow screens one at a time.

import { by, h, put, say } from "./dom.js";
import { go, goFrom, NO_QUERY, state } from "./state.js";
import { canExplain } from "./search.js";
import { grid } from "./grid.js";
import { explain } from "./explain.js";
import { tell } from "./alerts.js";
import { count, number, plural } from "./format.js";

let shown = "";
let isFromTile = false;

/** Search from a tile; what is found has the focus then, as the tile had. */
function pick(item) {
  isFromTile = true;
  goFrom(item.id);
}

/** Use a hit as an example of what is wanted, or of what is not. */
function example(item, sign) {
  const now = state();
  const id = String(item.id);
  const start = now.id !== null && now.plus.length === 0 ? [now.id] : now.plus;
  const without = (ids) => ids.filter((each) => each !== id);
  const plus = sign > 0 ? [...without(start), id] : without(start);
  const minus = sign > 0 ? without(now.minus) : [...without(now.minus), id];
  if (plus.length === 0) {
    tell("First what is wanted", "Choose an example with + before one with −.");
    return;
  }
  go({ ...NO_QUERY, plus, minus });
}

export const actionsOf = (now, column) => ({
  pick,
  plus: (item) => example(item, 1),
  minus: (item) => example(item, -1),
  ...(column && canExplain(now, column) ? { explain: (item) => explain(now, column, item) } : {}),
});

function heading(now, column, place) {
  const facts = [`${number(Math.round(column.took * 100) / 100)} ms`];
  if (place > 0) facts.push(`${column.isNew} new`);
  if (now.filter.length) facts.push(`${count(column.matched)} match`);
  return h("div", { class: "column-head" },
    h("h2", { id: `column-${place}` }, column.title),
    h("p", { class: "facts-line" }, facts.join(" · ")));
}

function columnOf(now, column, place) {
  const name = `Hits of ${column.title}`;
  return h("section", { class: "column", "aria-labelledby": `column-${place}`, "data-name": column.name },
    heading(now, column, place),
    column.hits.length
      ? grid(column.hits, actionsOf(now, column), name)
      : h("p", { class: "empty" }, "No item passes the filter, or is similar enough."));
}

function activate(name) {
  shown = name;
  for (const column of by("columns").children) column.classList.toggle("is-active", column.dataset.name === name);
  for (const button of by("switch").children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
}

/** The columns that are looked at: kNN's only where it is wanted. */
const visible = (now, columns) => (now.knn ? columns : columns.slice(1));

let last = null;

/** Draw the last answer once more: what is compared with has changed. */
export const redraw = (now) => last && draw(now, { ...last, arrived: null });

/** Draw the answer, and measure how long after its arrival it was painted. */
export function draw(now, { columns, arrived }) {
  last = { columns };
  const looked = visible(now, columns);
  by("columns").style.setProperty("--columns", looked.length);
  put(by("columns"), ...looked.map((column) => columnOf(now, column, columns.indexOf(column))));
  put(by("switch"), ...looked.map((column) => h("button", {
    type: "button", "data-name": column.name, onclick: () => activate(column.name),
  }, column.title)));
  by("switch").hidden = looked.length < 2;
  const names = looked.map((column) => column.name);
  activate(names.includes(shown) && shown !== "knn" ? shown : names[names.length - 1]);
  by("columns").removeAttribute("aria-busy");
  if (isFromTile) {
    scrollTo(0, 0);
    by("columns").querySelector(".is-active .pick")?.focus({ preventScroll: true });
    isFromTile = false;
  }
  say(looked.map((column) => `${column.title}: ${plural(column.hits.length, "hit")}${
    column.isNew ? `, ${column.isNew} of them new` : ""}`).join("; "));
  if (arrived !== null) painted(arrived);
}

function painted(arrived) {
  requestAnimationFrame(() => {
    // After this frame was handed over, not before it.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      performance.measure("kinfold:results", { start: arrived, end: performance.now() });
      port1.close();
    };
    port2.postMessage(null);
  });
}

export function wait() {
  by("columns").setAttribute("aria-busy", "true");
}

export function clear() {
  put(by("columns"));
  put(by("switch"));
  by("columns").removeAttribute("aria-busy");
}
