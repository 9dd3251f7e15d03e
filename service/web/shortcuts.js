// Keys that work everywhere, and the dialog that lists all of them.

import { by, h, put } from "./dom.js";

const KEYS = [
  ["/", "to the field for an item's id"],
  ["?", "these keys"],
  ["← → ↑ ↓", "from tile to tile; Home and End to the first and the last"],
  ["Enter", "search from the tile"],
  ["e", "why is this hit here?"],
  ["+  −", "use the hit as an example, or as a counter-example"],
  ["Esc", "close what is open"],
  ["← → ↑ ↓  +  −  0", "on the map: move, zoom, show all; Enter searches from the marked item"],
];

function help() {
  const dialog = by("keys-dialog");
  put(dialog,
    h("div", { class: "dialog-head" }, h("h2", { id: "keys-title" }, "Keys"),
      h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => dialog.close() }, "×")),
    h("dl", { class: "facts keys" }, KEYS.flatMap(([key, what]) => [h("dt", null, h("kbd", null, key)), h("dd", null, what)])));
  dialog.showModal();
}

const isTyping = (target) => target.matches?.("input, select, textarea");

export function begin() {
  by("show-keys").onclick = help;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      event.preventDefault();
      by("id-field").focus();
    } else if (event.key === "?") {
      event.preventDefault();
      help();
    }
  });
  // A click beside a dialog closes it, where nothing has to be answered.
  for (const name of ["keys-dialog", "why-dialog"]) {
    by(name).addEventListener("click", (event) => event.target === event.currentTarget && event.currentTarget.close());
  }
}
