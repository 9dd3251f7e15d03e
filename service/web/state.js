// What the page shows is what its address says, so that back, forward and links work.
//
//   #photos/search?id=a17&m=default&k=24

const VIEWS = ["search", "map", "versions"];
const MOST_K = 1000;

export const START = Object.freeze({
  collection: null, view: "search",
  id: null, plus: [], minus: [], picture: null, crop: null,
  models: [], fusion: "", knn: true, k: 24, kq: null, seeds: null, min: null, group: null,
  filter: [], sample: 1,
});

const wholeOf = (text, least, most) => {
  const value = Number(text);
  return text !== null && Number.isInteger(value) && value >= least && value <= most ? value : null;
};

function cropOf(text) {
  const values = (text ?? "").split(",").map(Number);
  return values.length === 4 && values.every((v) => Number.isFinite(v)) ? values : null;
}

function filterOf(text) {
  try {
    const found = JSON.parse(text ?? "[]");
    const isCondition = (each) => typeof each?.column === "string" && typeof each?.op === "string";
    return Array.isArray(found) ? found.filter(isCondition) : [];
  } catch {
    return [];
  }
}

/** The state that an address stands for; what makes no sense in it is passed over. */
export function read(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const [collection, view] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return "";
    }
  });
  const given = new URLSearchParams(query);
  const min = given.has("min") ? Number(given.get("min")) : null;
  return {
    ...START,
    collection: collection || null,
    view: VIEWS.includes(view) ? view : "search",
    id: given.get("id"),
    plus: given.getAll("plus"),
    minus: given.getAll("minus"),
    picture: given.get("picture"),
    crop: cropOf(given.get("crop")),
    models: given.getAll("m"),
    fusion: ["rrf", "score"].includes(given.get("fusion")) ? given.get("fusion") : "",
    knn: given.get("knn") !== "0",
    k: wholeOf(given.get("k"), 1, MOST_K) ?? START.k,
    kq: wholeOf(given.get("kq"), 1, 10000),
    seeds: ["plain", "reciprocal", "soft"].includes(given.get("seeds")) ? given.get("seeds") : null,
    min: Number.isFinite(min) ? min : null,
    group: given.get("group"),
    filter: filterOf(given.get("filter")),
    sample: wholeOf(given.get("sample"), 0, 2 ** 32 - 1) ?? START.sample,
  };
}

/** The address of a state. */
export function write(state) {
  const query = new URLSearchParams();
  const put = (name, value, usual = null) => {
    if (value !== null && value !== usual && value !== "") query.append(name, value);
  };
  put("id", state.id);
  state.plus.forEach((id) => query.append("plus", id));
  state.minus.forEach((id) => query.append("minus", id));
  put("picture", state.picture);
  put("crop", state.crop && state.crop.join(","));
  state.models.forEach((name) => query.append("m", name));
  put("fusion", state.fusion);
  put("knn", state.knn ? null : "0");
  put("k", state.k, START.k);
  put("kq", state.kq);
  put("seeds", state.seeds);
  put("min", state.min);
  put("group", state.group);
  put("filter", state.filter.length ? JSON.stringify(state.filter) : null);
  put("sample", state.sample, START.sample);
  const text = query.toString();
  const name = state.collection === null ? "" : encodeURIComponent(state.collection);
  return `#${name}${name && `/${state.view}`}${text && `?${text}`}`;
}

let now = read(location.hash);
const listeners = [];

export const state = () => now;

/** Call with (now, before) after every change, and once at the start. */
export function onChange(listener) {
  listeners.push(listener);
}

function changed(next) {
  const before = now;
  now = next;
  listeners.forEach((listener) => listener(now, before));
}

/** Change some of the state; a new entry of the history unless it replaces the last one. */
export function go(changes, { replace = false } = {}) {
  const next = { ...now, ...changes };
  const hash = write(next);
  if (hash === write(now) && !replace) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash);
  changed(next);
}

/** No query at all: what the others begin with. */
export const NO_QUERY = Object.freeze({ id: null, plus: [], minus: [], picture: null, crop: null });

/** Search from one item. */
export const goFrom = (id) => go({ ...NO_QUERY, id: String(id), view: "search" });

export const hasQuery = (each) =>
  each.id !== null || each.plus.length > 0 || each.minus.length > 0 || each.picture !== null;

export function begin() {
  window.addEventListener("popstate", () => changed(read(location.hash)));
  changed(now);
}
