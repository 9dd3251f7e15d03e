// What went wrong, in words, where it is seen and heard.

import { by, h } from "./dom.js";
import { Problem, Unreachable } from "./api.js";
import { value } from "./format.js";

const MOST = 3;

function put(kind, title, detail, extra = []) {
  const region = by("alerts");
  const same = [...region.children].find((each) => each.dataset.text === `${title}|${detail}`);
  same?.remove();
  while (region.children.length >= MOST) region.firstChild.remove();
  const box = h("div", { class: `alert ${kind}`, "data-text": `${title}|${detail}` },
    h("div", { class: "alert-text" },
      h("strong", null, title),
      detail && h("p", null, detail),
      extra),
    h("button", { type: "button", class: "quiet close", "aria-label": "Dismiss", onclick: () => box.remove() }, "×"));
  region.append(box);
  return box;
}

function differences(body) {
  const rows = ["expected", "found"].filter((name) => name in body && !body.detail?.includes(value(body[name])));
  if (rows.length === 0) return [];
  return [h("dl", { class: "facts" }, rows.flatMap((name) => {
    const given = Array.isArray(body[name]) ? body[name].map((each) => value(each)).join(", ") : value(body[name]);
    return [h("dt", null, name), h("dd", null, given)];
  }))];
}

/** Show an error. What was given up on purpose is none. */
export function report(error) {
  if (error.name === "AbortError") return;
  if (error instanceof Unreachable) {
    offline(error.message);
    return;
  }
  if (!(error instanceof Problem)) {
    put("error", "Something on this page failed", String(error.message ?? error));
    throw error;
  }
  const { title, detail, request_id: request } = error.body;
  const extra = differences(error.body);
  if (error.status >= 500 && request) extra.push(h("small", null, `Request ${request}`));
  put("error", title ?? `Status ${error.status}`, detail, extra);
}

let away = null;

/** The service cannot be reached; said once, until it can. */
export function offline(message) {
  if (away?.isConnected) return;
  away = put("error", "No connection", message);
}

export function online() {
  away?.remove();
  away = null;
}

/** Something that is worth a line, with buttons perhaps. */
export const tell = (title, detail, ...extra) => put("note", title, detail, extra);

/** Errors of a question that is not asked any more. */
export function clear() {
  for (const box of [...by("alerts").children]) if (box.classList.contains("error") && box !== away) box.remove();
}
