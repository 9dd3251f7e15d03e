// A picture over which a rectangle can be dragged; the same by numbers, for the keyboard.

import { h, put } from "./dom.js";

const SIDES = ["left", "top", "right", "bottom"];
const LEAST = 4; // pixels of the screen, below which a drag was a click
const WAIT = 350;

/**
 * A picture and the part of it that is searched for.
 *
 * @param found {url, name} of the picture
 * @param crop [left, top, right, bottom] in its pixels, or null for all of it
 * @param onCrop takes the new one
 */
export function cropper(found, crop, onCrop) {
  const image = h("img", { alt: "The picture that is searched for", draggable: "false" });
  const box = h("div", { class: "crop-box", hidden: true });
  const stage = h("div", { class: "crop-stage" }, image, box);
  const inputs = SIDES.map((side) =>
    h("input", { type: "number", min: 0, step: 1, inputmode: "numeric", "aria-label": `Crop: ${side}`, disabled: true }));
  const whole = h("button", { type: "button", class: "quiet", onclick: () => set(null) }, "Whole picture");
  const numbers = h("details", { class: "crop-numbers" },
    h("summary", null, "Crop by numbers"),
    h("div", { class: "crop-inputs" },
      SIDES.map((side, place) => h("label", null, h("span", null, side), inputs[place]))), whole);
  const root = h("div", { class: "cropper" }, stage, numbers);
  let now = crop;
  let size = null;
  let timer = 0;

  const draw = () => {
    box.hidden = !now || !size;
    stage.classList.toggle("has-crop", !box.hidden);
    const shown = now ?? (size ? [0, 0, size[0], size[1]] : ["", "", "", ""]);
    inputs.forEach((input, place) => { input.value = shown[place]; });
    whole.disabled = !now;
    if (box.hidden) return;
    const parts = { left: now[0] / size[0], top: now[1] / size[1],
      width: (now[2] - now[0]) / size[0], height: (now[3] - now[1]) / size[1] };
    for (const [name, part] of Object.entries(parts)) box.style.setProperty(name, `${100 * part}%`);
  };
  const set = (next, soon = false) => {
    now = next;
    draw();
    clearTimeout(timer);
    timer = setTimeout(() => onCrop(next), soon ? WAIT : 0);
  };

  image.addEventListener("load", () => {
    size = [image.naturalWidth, image.naturalHeight];
    inputs.forEach((input, place) => {
      input.disabled = false;
      input.max = size[place % 2];
    });
    draw();
  });
  image.addEventListener("error", () => {
    // TIFF, say: the service reads what this browser cannot show.
    put(stage, h("span", { class: "plate" }, h("span", { class: "plate-id" }, found.name)));
    inputs.forEach((input) => { input.disabled = false; });
  });
  image.src = found.url;

  inputs.forEach((input) => input.addEventListener("input", () => {
    const values = inputs.map((each) => Number(each.value));
    const [left, top, right, bottom] = values;
    if (inputs.every((each) => each.value !== "" && each.validity.valid) && left < right && top < bottom) set(values, true);
  }));

  let from = null;
  const at = (event) => {
    const place = image.getBoundingClientRect();
    const part = (value, start, length) => Math.max(0, Math.min(1, (value - start) / length));
    return [part(event.clientX, place.left, place.width), part(event.clientY, place.top, place.height)];
  };
  const between = (a, b) => [
    Math.floor(Math.min(a[0], b[0]) * size[0]), Math.floor(Math.min(a[1], b[1]) * size[1]),
    Math.ceil(Math.max(a[0], b[0]) * size[0]), Math.ceil(Math.max(a[1], b[1]) * size[1]),
  ];
  const isDrag = (event) => Math.hypot(event.clientX - from.x, event.clientY - from.y) > LEAST;
  stage.addEventListener("pointerdown", (event) => {
    if (!size || event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    from = { at: at(event), x: event.clientX, y: event.clientY, crop: now };
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from || !isDrag(event)) return;
    now = between(from.at, at(event));
    draw();
  });
  stage.addEventListener("pointerup", (event) => {
    if (!from) return;
    if (isDrag(event)) set(between(from.at, at(event)));
    from = null;
  });
  stage.addEventListener("pointercancel", () => {
    if (from) now = from.crop;
    from = null;
    draw();
  });

  root.show = (next) => {
    now = next;
    draw();
  };
  draw();
  return root;
}
