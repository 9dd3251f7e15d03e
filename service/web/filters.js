// The form that makes conditions, and the chips that take them away again.

import { by, field, h, put, select } from "./dom.js";
import { go, state } from "./state.js";
import { info } from "./collection.js";
import { TESTS, testsOf, typed, words } from "./filtering.js";
import { tell } from "./alerts.js";

const MOST_OFFERED = 40;
const HINTS = {
  values: "Several, separated by commas", gte: "Empty: no lower end", lte: "Empty: no upper end",
};
const NAMES = { value: "Value", values: "Values", gte: "From", lte: "To" };

function inputs(column, test) {
  return TESTS[test].fields.map((name) => {
    if (column.kind === "boolean") {
      return [name, select([["true", "true"], ["false", "false"]], "true"), column];
    }
    const offered = name === "values" ? [] : column.values.slice(0, MOST_OFFERED);
    const list = offered.length > 0 && h("datalist", { id: `offered-${name}` },
      offered.map((each) => h("option", { value: String(each) })));
    const input = h("input", {
      type: "text", inputmode: column.kind === "number" && name !== "values" ? "decimal" : "text",
      autocomplete: "off", list: list ? list.id : null, name,
    });
    return [name, input, column, list];
  });
}

function condition(column, test, fields) {
  const made = { column: column.name, op: test };
  for (const [name, input] of fields) {
    if (name === "values") {
      const values = input.value.split(",").map((text) => typed(text, column.kind));
      made.values = values.filter((each) => each !== null);
    } else {
      made[name] = typed(input.value, column.kind);
      if (made[name] === null && input.value.trim() !== "") return null;
    }
  }
  if (test === "range") return made.gte === null && made.lte === null ? null : made;
  if (test === "in") return made.values.length ? made : null;
  return TESTS[test].fields.includes("value") && made.value === null ? null : made;
}

/** Build the form anew for the collection that is open. */
export function build() {
  const place = by("filter-form");
  const columns = [...info().columns.values()];
  if (columns.length === 0) {
    put(place, h("p", { class: "hint" }, "This collection has no payload to filter by."));
    return;
  }
  const form = h("form", { class: "fields" });
  const chosen = { column: columns[0], test: "eq" };
  let fields = [];

  const draw = () => {
    const column = select(columns.map(({ name }) => [name, name]), chosen.column.name, {
      onchange: (event) => {
        chosen.column = info().columns.get(event.target.value);
        if (!testsOf(chosen.column.kind).includes(chosen.test)) chosen.test = "eq";
        draw();
        form.querySelector("select").focus();
      },
    });
    const test = select(testsOf(chosen.column.kind).map((each) => [each, TESTS[each].text]), chosen.test, {
      onchange: (event) => {
        chosen.test = event.target.value;
        draw();
        form.querySelectorAll("select")[1].focus();
      },
    });
    fields = inputs(chosen.column, chosen.test);
    put(form,
      field("Column", column),
      field("Test", test),
      ...fields.map(([name, input, , list]) => h("div", { class: "field-with-list" },
        field(NAMES[name], input, HINTS[name]), list)),
      h("button", { type: "submit", class: "primary" }, "Add filter"));
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const made = condition(chosen.column, chosen.test, fields);
    if (!made) {
      tell("This is no filter yet", chosen.column.kind === "number"
        ? `${chosen.column.name} holds numbers: enter one.` : "Enter a value.");
      fields[0]?.[1].focus();
      return;
    }
    go({ filter: [...state().filter, made] });
    draw();
    form.querySelector("select").focus();
  });
  draw();
  put(place, form);
}

/** The conditions that hold, each to be taken away. */
export function chips(now) {
  put(by("chips"), ...now.filter.map((each, place) => {
    const text = words(each);
    return h("button", {
      type: "button", class: "chip", "aria-label": `Remove the filter: ${text}`,
      onclick: () => {
        go({ filter: state().filter.filter((_, other) => other !== place) });
        (by("chips").querySelector("button") ?? by("show-filters")).focus();
      },
    }, text, h("span", { "aria-hidden": "true" }, "×"));
  }));
  const number = now.filter.length;
  by("show-filters").textContent = number ? `Filters (${number})` : "Filters";
}
