// Small pictures of items. Without a key they are plain addresses, which the browser fetches when
// they come near; with one they are fetched with its header, a few at a time, and let go once shown.

import { address, key, send } from "./api.js";
import { info } from "./collection.js";

const AT_ONCE = 6;
const SMALL = 64;
const NEARLY_SQUARE = 1.45;

const queue = [];
let running = 0;
const wanted = new WeakMap();

const addressOf = (id) =>
  address(info().name, "/thumbnail", { id: String(id), version: info().version });

/** The picture of an item as an address of this page, to be let go after use. */
async function fetched(url) {
  const response = await send(url, { quiet: true });
  return URL.createObjectURL(await response.blob());
}

function next() {
  while (running < AT_ONCE && queue.length > 0) {
    const task = queue.shift();
    running += 1;
    task().catch(() => {}).finally(() => {
      running -= 1;
      next();
    });
  }
}

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    queue.push(async () => {
      if (!target.isConnected) return;
      try {
        target.src = await fetched(wanted.get(target));
      } catch {
        target.dispatchEvent(new Event("error"));
      }
    });
  }
  next();
}, { rootMargin: "300px" });

function shown(event) {
  const image = event.target;
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  const { naturalWidth: width, naturalHeight: height } = image;
  image.classList.toggle("pixels", Math.max(width, height) < SMALL);
  image.classList.toggle("fills", Math.max(width / height, height / width) < NEARLY_SQUARE);
}

/** Let an image of the page show an item; `onMissing` when there is no picture of it. */
export function show(image, id, onMissing) {
  image.addEventListener("load", shown, { once: true });
  image.addEventListener("error", onMissing, { once: true });
  const url = addressOf(id);
  if (!key.get()) {
    image.src = url;
    return;
  }
  wanted.set(image, url);
  near.observe(image);
}

/** An address for drawings: of the service, or of what was fetched from it. */
export async function drawable(id) {
  const url = addressOf(id);
  return key.get() ? fetched(url) : url;
}

/** A loaded image, for a canvas. */
export async function loaded(id) {
  const image = new Image();
  image.src = await drawable(id);
  try {
    await image.decode();
  } finally {
    if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  }
  return image;
}
