// The API key: asked for when the service wants one, kept by this tab until it is closed.

import { by, h, put } from "./dom.js";
import { key, onUnauthorized } from "./api.js";

/** Ask for a key; gives whether there is a new one. */
function ask(problem) {
  const dialog = by("key-dialog");
  const input = h("input", {
    type: "password", id: "key", autocomplete: "off", spellcheck: "false", required: true,
    placeholder: "kf_…", "aria-describedby": "key-hint",
  });
  return new Promise((done) => {
    const end = (value) => {
      if (value) key.set(value);
      dialog.close();
      begin();
      done(Boolean(value));
    };
    put(dialog, h("form", {
      class: "stack",
      onsubmit: (event) => {
        event.preventDefault();
        end(input.value.replace(/[^!-~]/g, ""));
      },
    },
    h("h2", { id: "key-title" }, "API key"),
    problem && h("p", null, key.get()
      ? "The service does not accept this key."
      : "This service answers to those who have a key."),
    h("div", { class: "field" }, h("label", { htmlFor: "key" }, "Key"), input,
      h("small", { id: "key-hint" }, "Kept by this tab alone, until it is closed.")),
    h("div", { class: "row end" },
      h("button", { type: "button", class: "quiet", onclick: () => end("") }, "Cancel"),
      h("button", { type: "submit", class: "primary" }, "Use it"))));
    dialog.oncancel = (event) => {
      event.preventDefault();
      end("");
    };
    if (!dialog.open) dialog.showModal();
    input.focus();
  });
}

/** Offer to forget the key, where there is one. */
export function begin() {
  const button = by("forget");
  button.hidden = !key.get();
  button.onclick = () => {
    key.set("");
    location.reload();
  };
  onUnauthorized(ask);
}
