// One item as a picture, or as a plate of text where there is none.

import { h } from "./dom.js";
import { hasThumbnails } from "./collection.js";
import { show } from "./thumbs.js";
import { value } from "./format.js";

const SHOWN_VALUES = 3;

/** An item's id and first payload values, neatly. */
export function plate(id, payload) {
  const values = Object.entries(payload ?? {}).slice(0, SHOWN_VALUES);
  return h("span", { class: "plate" },
    h("span", { class: "plate-id" }, value(id, 60)),
    values.map(([name, each]) =>
      h("span", { class: "plate-value" }, h("i", null, `${name} `), value(each, 40))));
}

/** The square in which an item is seen. */
export function frame(id, payload, { lazy = true } = {}) {
  const box = h("span", { class: "frame" });
  if (!hasThumbnails()) {
    box.append(plate(id, payload));
    return box;
  }
  const image = h("img", {
    alt: "", decoding: "async", loading: lazy ? "lazy" : "eager", width: 192, height: 192,
    draggable: "false",
  });
  box.append(image);
  show(image, id, () => image.replaceWith(plate(id, payload)));
  return box;
}
