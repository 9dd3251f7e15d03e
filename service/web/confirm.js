// A question before something that others will notice.

import { by, h, put } from "./dom.js";

/** Ask; gives whether it was answered with yes. */
export function confirm(title, text, yes) {
  const dialog = by("confirm-dialog");
  return new Promise((done) => {
    const end = (answer) => {
      dialog.close();
      done(answer);
    };
    const button = h("button", { type: "button", class: "primary", onclick: () => end(true) }, yes);
    put(dialog,
      h("h2", { id: "confirm-title" }, title),
      h("p", null, text),
      h("div", { class: "row end" },
        h("button", { type: "button", class: "quiet", onclick: () => end(false) }, "Cancel"), button));
    dialog.oncancel = (event) => {
      event.preventDefault();
      end(false);
    };
    dialog.showModal();
    button.focus();
  });
}
