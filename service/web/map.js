// The gallery's graph in the plane, drawn on a canvas: to wander in, and to search from.

import { by, h, put, say } from "./dom.js";
import { address, get } from "./api.js";
import { goFrom } from "./state.js";
import { hasThumbnails, info } from "./collection.js";
import { paint } from "./map_paint.js";
import { View } from "./view.js";
import { loaded } from "./thumbs.js";
import { frame } from "./tile.js";
import { count, value } from "./format.js";

const NEAR = 28;
const STEP = 60;
const FACTOR = 1.3;
const MOST_KEPT = 600;

const view = new View();
const images = new Map();
let map = null;
let marked = { hits: new Set(), query: new Set() };
let pointed = -1;
let byKeys = false;
let frameAsked = false;

const canvas = () => by("canvas");

function ask() {
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => {
    frameAsked = false;
    if (map) paint(canvas(), { map, view, marked, pointed, byKeys, image });
  });
}

/** The picture of an item if it is there; otherwise it comes later. */
function image(place) {
  const id = map.ids[place];
  if (!hasThumbnails()) return null;
  if (!images.has(id)) {
    images.set(id, null);
    loaded(id).then((found) => {
      images.set(id, found);
      ask();
    }).catch(() => {});
    if (images.size > MOST_KEPT) images.delete(images.keys().next().value);
  }
  return images.get(id);
}

function nearest(left, top, within = NEAR) {
  let best = -1;
  let least = within * within;
  for (let i = 0; i < map.ids.length; i += 1) {
    const [x, y] = view.toScreen(map.x[i], map.y[i]);
    const distance = (x - left) ** 2 + (y - top) ** 2;
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

function point(place, aloud = false) {
  if (place === pointed) return;
  pointed = place;
  const tip = by("map-tip");
  tip.hidden = place < 0;
  if (place >= 0) {
    const id = map.ids[place];
    put(tip, hasThumbnails() ? frame(id, null, { lazy: false }) : "", h("span", null, value(id, 80)));
    const [x, y] = view.toScreen(map.x[place], map.y[place]);
    const right = x > view.width / 2;
    tip.style.setProperty("left", `${Math.round(right ? x - tip.offsetWidth - 16 : x + 16)}px`);
    tip.style.setProperty("top", `${Math.round(Math.max(4, Math.min(view.height - tip.offsetHeight - 4, y - 20)))}px`);
    if (aloud) say(`item ${value(id, 80)}${marked.hits.has(String(id)) ? ", a hit" : ""}`);
  }
  ask();
}

const middle = () => nearest(view.width / 2, view.height / 2, Math.max(view.width, view.height));

function moved(aloud) {
  if (aloud) {
    pointed = -1;
    point(middle(), true);
  } else point(-1);
  ask();
}

const KEYS = {
  ArrowLeft: () => view.pan(STEP, 0), ArrowRight: () => view.pan(-STEP, 0),
  ArrowUp: () => view.pan(0, STEP), ArrowDown: () => view.pan(0, -STEP),
  "+": () => view.zoomAt(FACTOR), "=": () => view.zoomAt(FACTOR), "-": () => view.zoomAt(1 / FACTOR),
  0: () => view.reset(),
};

function listenToKeys() {
  canvas().addEventListener("keydown", (event) => {
    if (!map || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      if (pointed >= 0) goFrom(map.ids[pointed]);
    } else if (KEYS[event.key]) {
      KEYS[event.key]();
      byKeys = true;
      moved(true);
    } else return;
    event.preventDefault();
  });
  canvas().addEventListener("focus", () => {
    if (!map || !canvas().matches(":focus-visible")) return;
    byKeys = true;
    moved(true);
  });
  canvas().addEventListener("blur", () => {
    byKeys = false;
    if (map) moved(false);
  });
}

function listenToPointers() {
  const down = new Map();
  let wandered = 0;
  const at = (event) => {
    const place = canvas().getBoundingClientRect();
    return [event.clientX - place.left, event.clientY - place.top];
  };
  const spread = () => {
    const [a, b] = [...down.values()];
    return { size: Math.hypot(a[0] - b[0], a[1] - b[1]), x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2 };
  };
  canvas().addEventListener("pointerdown", (event) => {
    canvas().setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    if (down.size === 1) wandered = 0;
    byKeys = false;
  });
  canvas().addEventListener("pointermove", (event) => {
    if (!map) return;
    const now = at(event);
    const before = down.get(event.pointerId);
    if (!before) {
      point(nearest(...now));
      return;
    }
    const was = down.size === 2 ? spread() : null;
    down.set(event.pointerId, now);
    wandered += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (was) {
      const is = spread();
      view.zoomAt(is.size / Math.max(1, was.size), is.x, is.y);
      view.pan(is.x - was.x, is.y - was.y);
    } else view.pan(now[0] - before[0], now[1] - before[1]);
    moved(false);
  });
  const up = (event) => {
    const isClick = down.size === 1 && wandered < 5 && event.type === "pointerup";
    down.delete(event.pointerId);
    if (!isClick || !map) return;
    const place = nearest(...at(event));
    if (place >= 0) goFrom(map.ids[place]);
  };
  canvas().addEventListener("pointerup", up);
  canvas().addEventListener("pointercancel", up);
  canvas().addEventListener("pointerleave", () => !byKeys && map && point(-1));
  canvas().addEventListener("wheel", (event) => {
    if (!map) return;
    event.preventDefault();
    view.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...at(event));
    moved(false);
  }, { passive: false });
}

export function begin() {
  listenToKeys();
  listenToPointers();
  new ResizeObserver(([{ contentRect }]) => {
    if (!contentRect.width) return;
    const ratio = devicePixelRatio || 1;
    view.width = contentRect.width;
    view.height = contentRect.height;
    canvas().width = Math.round(contentRect.width * ratio);
    canvas().height = Math.round(contentRect.height * ratio);
    ask();
  }).observe(canvas());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
  by("zoom-in").onclick = () => { view.zoomAt(FACTOR); moved(false); };
  by("zoom-out").onclick = () => { view.zoomAt(1 / FACTOR); moved(false); };
  by("zoom-all").onclick = () => { view.reset(); moved(false); };
}

/** Show the map of the collection that is open. */
export async function open(signal) {
  if (map && map.collection === info().name && map.version === info().version) {
    ask();
    return;
  }
  map = null;
  images.clear();
  by("map-note").textContent = "Laying out the gallery …";
  try {
    const found = await get(address(info().name, "/map"), { signal });
    map = found;
  } catch (error) {
    by("map-note").textContent = "";
    throw error;
  }
  view.reset();
  pointed = -1;
  by("map-note").textContent = map.ids.length < map.total
    ? `${count(map.ids.length)} of ${count(map.total)} items` : `${count(map.total)} items`;
  ask();
}

/** Mark what the last search was for, and what it found. */
export function mark(hits, query) {
  marked = { hits: new Set(hits.map(String)), query: new Set(query.map(String)) };
  ask();
}
