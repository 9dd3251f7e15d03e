// The ways in: an item's id, or a picture that is dropped, pasted or chosen.

import { by, say } from "./dom.js";
import { go, goFrom, NO_QUERY } from "./state.js";
import { hasEncoder, info } from "./collection.js";
import { fileOf, keep } from "./pictures.js";
import { tell } from "./alerts.js";

/** Search by a picture, if the collection can. */
function take(file) {
  if (!file || !info()) return;
  if (!hasEncoder()) {
    tell("This collection cannot be searched by a picture",
      "It was built from vectors, and knows no encoder. Build it from a folder of pictures to get one.");
    return;
  }
  if (file.type && !file.type.startsWith("image/")) {
    tell("This is no picture", `${file.name || "What came"} is of type ${file.type}.`);
    return;
  }
  say("Searching by the picture");
  go({ ...NO_QUERY, picture: keep(file), view: "search" });
}

const isOfFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function listenForDrops() {
  const over = by("drop-over");
  let depth = 0;
  document.addEventListener("dragenter", (event) => {
    if (!isOfFiles(event)) return;
    depth += 1;
    over.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!isOfFiles(event)) return;
    depth -= 1;
    if (depth <= 0) over.hidden = true;
  });
  document.addEventListener("dragover", (event) => isOfFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    depth = 0;
    over.hidden = true;
    take(fileOf(event.dataTransfer));
  });
}

export function begin() {
  by("id-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = by("id-field").value;
    if (id !== "") goFrom(id);
  });
  by("picture-field").addEventListener("change", (event) => {
    take(event.target.files[0]);
    event.target.value = "";
  });
  by("choose").addEventListener("click", () => by("picture-field").click());
  document.addEventListener("paste", (event) => {
    const file = fileOf(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  listenForDrops();
}

/** Offer what the collection that is open can do. */
export function offer() {
  by("choose").hidden = !hasEncoder();
  by("no-encoder").hidden = hasEncoder();
}
