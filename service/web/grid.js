// A grid of items: one stop of the Tab key, arrow keys within, and what can be done with each.

import { h } from "./dom.js";
import { frame } from "./tile.js";
import * as card from "./card.js";
import { score, value } from "./format.js";

/** What a screen reader says of an item. */
function label(item) {
  const parts = item.rank ? [`${item.rank}: item ${value(item.id, 80)}`] : [`item ${value(item.id, 80)}`];
  if (item.score !== undefined) parts.push(`score ${score(item.score)}`);
  if (item.badge) parts.push(item.badge.meaning);
  return parts.join(", ");
}

function tool(name, text, title) {
  return h("button", { type: "button", class: "tool", name, tabindex: -1, "aria-label": title, title }, text);
}

function tile(item, place, actions) {
  const id = value(item.id, 60);
  const bar = item.share !== undefined && h("span", { class: "bar" });
  if (bar) bar.style.setProperty("--share", item.share.toFixed(4));
  return h("li", { class: "tile", "data-place": place },
    h("button", { type: "button", class: "pick", tabindex: place === 0 ? 0 : -1, "aria-label": label(item) },
      frame(item.id, item.payload),
      item.badge && h("span", { class: `badge ${item.badge.kind}` }, item.badge.text),
      h("span", { class: "line" },
        item.rank ? h("span", { class: "rank" }, item.rank) : h("span", { class: "name" }, id),
        bar,
        item.score !== undefined && h("span", { class: "score" }, score(item.score)))),
    h("span", { class: "tools" },
      actions.explain && tool("explain", "why?", `Why is ${id} here?`),
      actions.plus && tool("plus", "+", `More like ${id}`),
      actions.minus && tool("minus", "−", `Less like ${id}`)));
}

function columns(tiles) {
  const top = tiles[0].offsetTop;
  const first = tiles.findIndex((each) => each.offsetTop !== top);
  return first === -1 ? tiles.length : first;
}

const STEPS = {
  ArrowRight: () => 1, ArrowLeft: () => -1,
  ArrowDown: (tiles) => columns(tiles), ArrowUp: (tiles) => -columns(tiles),
  Home: () => -Infinity, End: () => Infinity,
};
const KEYS = { e: "explain", "+": "plus", "-": "minus", "−": "minus" };

/**
 * A list of items.
 *
 * @param items {id, payload, rank?, score?, similarity?, share?, badge?} each
 * @param actions what pick, explain, plus and minus do with an item; those that are missing are not offered
 */
export function grid(items, actions, name) {
  const tiles = items.map((item, place) => tile(item, place, actions));
  let active = 0;

  const placeOf = (event) => {
    const found = event.target.closest?.(".tile");
    return found ? Number(found.dataset.place) : -1;
  };
  const stop = (place, tab) => {
    for (const button of tiles[place].querySelectorAll("button")) button.tabIndex = tab;
  };
  const act = (what, place) => {
    card.close();
    actions[what]?.(items[place]);
  };
  const move = (place) => {
    stop(active, -1);
    active = place;
    stop(active, 0);
  };

  return h("ol", {
    class: "grid", "aria-label": name,
    onclick: (event) => {
      const place = placeOf(event);
      const button = event.target.closest("button");
      if (place >= 0 && button) act(button.name || "pick", place);
    },
    onkeydown: (event) => {
      const place = placeOf(event);
      if (place < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = STEPS[event.key];
      if (step) {
        event.preventDefault();
        const next = Math.max(0, Math.min(tiles.length - 1, place + step(tiles)));
        move(next);
        tiles[next].firstChild.focus();
      } else if (actions[KEYS[event.key]]) {
        event.preventDefault();
        act(KEYS[event.key], place);
      }
    },
    onfocusin: (event) => {
      const place = placeOf(event);
      if (place < 0) return;
      move(place);
      if (event.target.matches(":focus-visible")) card.open(tiles[place], items[place]);
    },
    onfocusout: card.close,
    onpointerover: (event) => {
      const place = placeOf(event);
      if (place >= 0 && event.pointerType === "mouse") card.open(tiles[place], items[place]);
    },
    onpointerleave: card.close,
  }, tiles);
}
