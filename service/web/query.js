// What is searched for: an item, examples, or a picture of which a part may be chosen.

import { by, h, put } from "./dom.js";
import { go, goFrom, hasQuery, NO_QUERY, state } from "./state.js";
import { toId } from "./json.js";
import { info } from "./collection.js";
import { picture } from "./pictures.js";
import { frame } from "./tile.js";
import { cropper } from "./crop.js";
import { value } from "./format.js";

function example(id, sign) {
  const drop = () => {
    const { plus, minus } = state();
    const next = { plus: plus.filter((each) => each !== id), minus: minus.filter((each) => each !== id) };
    go(next.plus.length ? next : { ...NO_QUERY });
  };
  const what = sign === "+" ? "wanted" : "not wanted";
  return h("li", { class: `example ${sign === "+" ? "is-plus" : "is-minus"}` },
    h("button", {
      type: "button", class: "example-pick", "aria-label": `${what}: item ${value(id, 60)}. Search from it alone`,
      onclick: () => goFrom(id),
    }, frame(toId(id, info().ids), null, { lazy: false }), h("span", { class: "sign", "aria-hidden": "true" }, sign)),
    h("button", { type: "button", class: "drop-example", "aria-label": `Take ${value(id, 60)} away`, onclick: drop }, "×"));
}

function ofExamples(now) {
  return [
    h("ul", { class: "examples" },
      now.plus.map((id) => example(id, "+")), now.minus.map((id) => example(id, "−"))),
    h("div", { class: "query-text" },
      h("h1", null, "Like these", now.minus.length > 0 && ", unlike those"),
      h("p", { class: "hint" }, "+ and − at a hit add to the examples.")),
  ];
}

function ofItem(now) {
  return [
    h("div", { class: "query-picture" }, frame(toId(now.id, info().ids), null, { lazy: false })),
    h("div", { class: "query-text" },
      h("p", { class: "over" }, "Like item"),
      h("h1", null, value(now.id, 120))),
  ];
}

function ofPicture(now) {
  const found = picture(now.picture);
  return [
    cropper(found, now.crop, (crop) => go({ crop })),
    h("div", { class: "query-text" },
      h("p", { class: "over" }, "Like the picture"),
      h("h1", null, value(found.name, 80)),
      h("p", { class: "hint" }, "Drag over it to search for a part alone.")),
  ];
}

let drawn = "";

/** Draw what is searched for; a picture stays as it is while its crop changes. */
export function draw(now) {
  const place = by("query");
  place.hidden = !hasQuery(now);
  const key = JSON.stringify([now.collection, info()?.version, now.id, now.plus, now.minus, now.picture]);
  if (key === drawn && now.picture !== null) {
    place.querySelector(".cropper")?.show(now.crop);
    return;
  }
  drawn = key;
  if (place.hidden) {
    put(place);
    return;
  }
  let parts = ofItem;
  if (now.picture !== null) parts = ofPicture;
  else if (now.plus.length) parts = ofExamples;
  put(place, ...parts(now), h("button", {
    type: "button", class: "quiet end-query", onclick: () => go({ ...NO_QUERY }),
  }, "Start over"));
}
