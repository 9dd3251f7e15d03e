// The versions of the collection that is open: which one is live, and going back to another.

import { by, h, put } from "./dom.js";
import { address, get, send } from "./api.js";
import { confirm } from "./confirm.js";
import { report, tell } from "./alerts.js";
import { bytes, plural, time, value } from "./format.js";

async function activate(name, version, onDone) {
  const isSure = await confirm(`Activate ${version.version}?`,
    "Searches are answered from it as soon as it is open. No request fails meanwhile, and going back is as easy.", "Activate");
  if (!isSure) return;
  try {
    const answer = await send(
      address(name, `/versions/${encodeURIComponent(version.version)}/activate`), { method: "POST" });
    await answer.text();
    tell("Activated", version.version);
    onDone();
  } catch (error) {
    report(error);
  }
}

function row(name, version, list, onDone) {
  const isLive = version.version === list.live;
  const about = [
    version.created && time(version.created), version.rows !== null && plural(version.rows, "item"),
    (version.models ?? []).join(", "), `${bytes(version.bytes)}, ${bytes(version.own_bytes)} its own`,
  ];
  return h("li", { class: "row-card" },
    h("div", { class: "row-card-text" },
      h("p", { class: "row-title" }, h("code", null, version.version),
        isLive && h("span", { class: "mark is-live" }, "live"),
        version.version === list.serving && !isLive && h("span", { class: "mark" }, "still answering"),
        version.damaged && h("span", { class: "mark is-bad" }, "damaged")),
      h("p", { class: "hint" }, about.filter(Boolean).join(" · ")),
      version.damaged && h("p", { class: "hint" }, value(version.damaged))),
    !isLive && !version.damaged && h("button", {
      type: "button", class: "quiet", "aria-label": `Activate ${version.version}`,
      onclick: () => activate(name, version, onDone),
    }, "Activate"));
}

/** List the versions, the newest first; `onDone` is called after one was activated. */
export async function draw(name, onDone, signal) {
  const list = await get(address(name, "/versions"), { signal });
  const newest = [...list.versions].reverse();
  put(by("version-list"),
    newest.length ? h("ul", { class: "rows" }, newest.map((each) => row(name, each, list, onDone)))
      : h("p", { class: "empty" }, "No version yet."));
}
