// The card beside the tile that is pointed at, or that has the focus: all that is known of a hit.

import { by, h, put } from "./dom.js";
import { score, value } from "./format.js";

const DELAY = 120;
const GAP = 8;
const MOST_ROWS = 12;

let timer = 0;

const card = () => by("card");

function rows(item) {
  const found = [["id", value(item.id)]];
  if (item.score !== undefined) found.push(["score", score(item.score)]);
  if (item.similarity !== undefined) found.push(["similarity", score(item.similarity)]);
  if (item.place) found.push(["among kNN", item.place]);
  if (item.group !== undefined) found.push(["group", value(item.group)]);
  const payload = Object.entries(item.payload ?? {});
  found.push(...payload.slice(0, MOST_ROWS).map(([name, each]) => [name, value(each)]));
  if (payload.length > MOST_ROWS) found.push(["…", `${payload.length - MOST_ROWS} more`]);
  return found;
}

/** Show what is known of an item beside its tile, after a moment. */
export function open(tile, item) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const element = card();
    put(element, ...rows(item).flatMap(([name, text]) =>
      [h("dt", null, name), h("dd", null, text)]));
    element.hidden = false;
    const place = tile.getBoundingClientRect();
    const { width, height } = element.getBoundingClientRect();
    let left = place.right + GAP;
    if (left + width > innerWidth - GAP) left = place.left - width - GAP;
    if (left < GAP) left = Math.max(GAP, Math.min(place.left, innerWidth - width - GAP));
    const beside = left >= place.right || left + width <= place.left;
    let top = beside ? place.top : place.bottom + GAP;
    top = Math.max(GAP, Math.min(top, innerHeight - height - GAP));
    element.style.setProperty("left", `${Math.round(left)}px`);
    element.style.setProperty("top", `${Math.round(top)}px`);
  }, DELAY);
}

export function close() {
  clearTimeout(timer);
  card().hidden = true;
}

export function begin() {
  document.addEventListener("keydown", (event) => event.key === "Escape" && close());
  document.addEventListener("scroll", close, { passive: true, capture: true });
}
