// Which models answer, and with which parameters.

import { by, field, h, put, select } from "./dom.js";
import { go, state } from "./state.js";
import { info, models } from "./collection.js";

const COUNTS = [12, 24, 48, 100, 200];
const SEEDS = [
  ["", "as built"], ["soft", "soft: all, weighed by rank"], ["reciprocal", "reciprocal: mutual ones"],
  ["plain", "plain: all alike"],
];
const SHOWN = [["", "side by side"], ["rrf", "fused by rank"], ["score", "fused by score"]];

/** The models that answer beside plain kNN. */
export function chosen(now) {
  const known = now.models.filter((name) => models().includes(name));
  return known.length ? known : [info().default_model];
}

function toggle(name, isOn, onclick, title) {
  return h("button", {
    type: "button", class: "toggle", "aria-pressed": String(isOn), onclick, title,
  }, name);
}

function modelToggles(now) {
  const on = chosen(now);
  return models().map((name) => toggle(name, on.includes(name), () => {
    const next = on.includes(name) ? on.filter((each) => each !== name) : [...on, name];
    if (next.length) go({ models: next.length === 1 && next[0] === info().default_model ? [] : next });
  }, on.includes(name) && on.length === 1 ? "At least one model answers" : `Search with ${name}`));
}

/** The row of models and counts, drawn anew with every change. */
export function row(now) {
  const place = [...by("models").children].findIndex((each) => each.contains(document.activeElement));
  const counts = [...new Set([...COUNTS, now.k])].sort((a, b) => a - b);
  const several = chosen(now).length > 1;
  put(by("models"),
    toggle("kNN", now.knn, () => go({ knn: !state().knn }), "Plain nearest neighbours, to compare with"),
    ...modelToggles(now),
    several && labelled("Show", select(SHOWN, now.fusion, {
      onchange: (event) => go({ fusion: event.target.value }),
    })),
    labelled("Hits", select(counts.map((k) => [String(k), String(k)]), String(now.k), {
      onchange: (event) => go({ k: Number(event.target.value) }),
    })));
  if (place >= 0) focusOn(by("models").children[place]);
}

const focusOn = (element) => (element?.querySelector("select") ?? element)?.focus();

function labelled(text, control) {
  control.id = `choose-${text.toLowerCase()}`;
  return h("div", { class: "inline" }, h("label", { htmlFor: control.id }, text), control);
}

function numeric(name, label, hint, attributes, parse) {
  const input = h("input", { type: "number", name, value: state()[name] ?? "", ...attributes });
  input.addEventListener("change", () => {
    const value = input.value === "" ? null : parse(input.value);
    if (input.validity.valid) go({ [name]: Number.isFinite(value) ? value : null });
  });
  return field(label, input, hint);
}

/** The form of further parameters, built for the collection that is open. */
export function build() {
  const now = state();
  const columns = [["", "no groups"], ...[...info().columns.keys()].map((name) => [name, name])];
  put(by("option-form"), h("form", { class: "fields", onsubmit: (event) => event.preventDefault() },
    numeric("kq", "Query neighbours", "Seeds of the diffusion; empty: as built",
      { min: 1, max: 10000, step: 1 }, Number),
    field("Seeds", select(SEEDS, now.seeds ?? "", {
      onchange: (event) => go({ seeds: event.target.value || null }),
    }), "Which of these neighbours count"),
    numeric("min", "Least similarity", "Hits below it are left out", { step: "any" }, Number),
    field("One hit of each", select(columns, now.group ?? "", {
      onchange: (event) => go({ group: event.target.value || null }),
    }), "Group by a payload column"),
    h("button", {
      type: "button", class: "quiet",
      onclick: () => {
        go({ kq: null, seeds: null, min: null, group: null });
        build();
      },
    }, "Reset")));
}

/** Say on the button how many parameters are not as usual. */
export function mark(now) {
  const number = [now.kq, now.seeds, now.min, now.group].filter((each) => each !== null).length;
  by("show-options").textContent = number ? `Options (${number})` : "Options";
}
