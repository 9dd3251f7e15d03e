// Where one begins: the collections, or what one of them is like and some of its items.

import { by, h, put, say } from "./dom.js";
import { address, get } from "./api.js";
import { go, START, write } from "./state.js";
import { info } from "./collection.js";
import { filterOf } from "./filtering.js";
import { stringify } from "./json.js";
import { grid } from "./grid.js";
import { actionsOf } from "./results.js";
import { bytes, count, number, plural, time, value } from "./format.js";

const ITEMS = 60;
const TIME = "ms_per_query";
const STATES = {
  empty: "has no version yet: build one, or import a snapshot",
  warming: "is being opened",
  failed: "cannot be used",
};

/** The collections to choose from. */
export function chooser(collections) {
  put(by("overview"),
    h("h1", null, collections.length ? "Collections" : "No collection yet"),
    collections.length === 0 && h("p", { class: "hint" },
      "Build one with `kinfold build`, or ask the service to; it appears here by itself."),
    h("ul", { class: "cards" }, collections.map((each) => h("li", null,
      h("a", { class: "collection-card", href: write({ ...START, collection: each.name }) },
        h("strong", null, each.name),
        h("span", null, each.rows ? `${plural(each.rows, "item")}, ${count(each.dimension)} dimensions` : each.status))))));
}

/** A collection that cannot be searched, and why. */
export function unusable(found) {
  put(by("overview"),
    h("h1", null, found.name),
    h("p", { class: "hint" }, `This collection ${STATES[found.status] ?? "is not ready"}.`),
    found.reason && h("p", null, found.reason));
}

const fact = (name, text) => h("div", { class: "fact" }, h("dt", null, name), h("dd", null, text));

function facts(found) {
  const engine = found.neighbor_recall === 1 || found.neighbor_recall === null
    ? found.engine : `${found.engine}, recall ${number(found.neighbor_recall)}`;
  return h("dl", { class: "facts-row" },
    fact("Items", count(found.rows)), fact("Dimension", count(found.dimension)),
    fact("Metric", found.metric), fact("Neighbours", engine),
    fact("On disk", bytes(found.disk_bytes)), fact("Built", found.created ? time(found.created) : "–"));
}

function quality(found) {
  if (!found) return h("span", { class: "hint" }, "not measured");
  const score = found.score === null ? "–" : (100 * found.score).toFixed(1);
  const before = found.score_before === null ? "" : `, before ${(100 * found.score_before).toFixed(1)}`;
  return h("span", { title: found.reason }, h("b", null, score), ` mAP${before}`,
    h("small", null, `${found.by === "labels" ? "labelled" : "hidden"} queries: ${count(found.queries)}`));
}

function inShort({ name, quality: chosen }, { evaluation }) {
  const score = evaluation?.models[name]?.mAP ?? chosen?.score;
  const knn = evaluation?.models.knn?.mAP;
  if (!score) return name;
  return `${name} (mAP ${(100 * score).toFixed(1)}${knn ? `, kNN ${(100 * knn).toFixed(1)}` : ""})`;
}

function model(found, isDefault) {
  const parameters = Object.entries(found.parameters ?? {});
  return h("li", { class: "model" },
    h("div", { class: "model-head" }, h("h3", null, found.name), isDefault && h("span", { class: "mark" }, "default"),
      (found.quality || !info().evaluation) && quality(found.quality)),
    h("p", { class: "hint" }, `${number(found.mean_row)} values an item, ${found.dtype}; ${plural(found.edges, "edge")}; ${
      found.not_converged ? `${count(found.not_converged)} rows not converged` : "all rows converged"}`),
    h("details", null, h("summary", null, "Parameters"),
      h("dl", { class: "facts" }, parameters.flatMap(([name, each]) => [h("dt", null, name), h("dd", null, value(each))]))));
}

/** What `kinfold evaluate --save` measured, beside plain kNN. */
function measured({ models, protocol, measured: when }) {
  const names = [...new Set(Object.values(models).flatMap(Object.keys))];
  const cell = (name, figure) => {
    if (figure === undefined) return "–";
    return name === TIME ? number(figure) : (100 * figure).toFixed(1);
  };
  return h("div", { class: "measured" },
    h("div", { class: "scroll" }, h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Model"), names.map((name) => h("th", { scope: "col" }, name === TIME ? "ms a query" : name)))),
      h("tbody", null, Object.entries(models).map(([name, figures]) => h("tr", null,
        h("th", { scope: "row" }, name === "knn" ? "kNN" : name),
        names.map((each) => h("td", null, cell(each, figures[each])))))))),
    h("p", { class: "hint" }, `In percent. ${protocol}. Measured ${time(when)}.`));
}

/** What a collection is like. */
export function draw() {
  const found = info();
  put(by("overview"),
    h("div", { class: "overview-head" }, h("h1", null, found.name), h("p", { class: "over" }, `version ${found.version}`)),
    facts(found),
    h("details", { class: "models-box" },
      h("summary", null, h("span", { class: "count" }, plural(found.details.length, "model")), h("span", { class: "hint" }, found.details.map((each) => inShort(each, found)).join(", "))),
      found.evaluation && measured(found.evaluation),
      h("ul", { class: "models" }, found.details.map((each) => model(each, each.name === found.default_model)))),
    h("section", { "aria-labelledby": "items-title" },
      h("div", { class: "column-head" },
        h("h2", { id: "items-title" }, "Begin with one of these"),
        h("button", { type: "button", class: "quiet", id: "shuffle" }, "Others")),
      h("div", { id: "items" })));
}

/** Some of the items that pass the filters. */
export async function items(now, signal) {
  const filter = filterOf(now.filter);
  const query = { sample: now.sample, limit: ITEMS, filter: filter && stringify(filter) };
  const found = await get(address(now.collection, "/items", query), { signal });
  const place = by("items");
  if (!place) return;
  by("shuffle").onclick = () => {
    go({ sample: now.sample + 1 });
  };
  const matching = filter ? `${plural(found.total, "item")} of ${count(info().rows)} pass the filters` : "";
  put(place,
    matching && h("p", { class: "facts-line" }, matching),
    found.items.length ? grid(found.items, actionsOf(now, null), "Items to begin with")
      : h("p", { class: "empty" }, "No item passes the filters."));
  say(matching || `${found.items.length} items to begin with`);
}
