// Looks now and then whether another version went live, and whether the service is there.

import { by, h, put } from "./dom.js";
import { Unreachable } from "./api.js";
import { close, info, list } from "./collection.js";
import { offline, online } from "./alerts.js";

const PERIOD = 5000;
const SOON = 400;
const SOON_FOR = 15000;

let timer = 0;
let until = 0;
let told = "";

function offer(version, reload) {
  if (told === version) return;
  told = version;
  const bar = by("news");
  put(bar,
    h("span", null, "Version ", h("code", null, version), " is live."),
    h("button", {
      type: "button", class: "primary",
      onclick: () => {
        bar.hidden = true;
        close();
        reload();
      },
    }, "Reload"));
  bar.hidden = false;
}

async function look(reload) {
  if (document.hidden || !info()) return;
  try {
    const found = (await list({ quiet: true })).find((each) => each.name === info()?.name);
    online();
    const opened = info();
    if (found?.version && opened && found.version !== opened.version) offer(found.version, reload);
    else if (opened?.version === found?.version) {
      told = "";
      by("news").hidden = true;
    }
  } catch (error) {
    if (error instanceof Unreachable) offline(error.message);
  }
}

/** Look every few seconds; `reload` opens the collection anew. */
export function begin(reload) {
  const next = async () => {
    clearTimeout(timer);
    await look(reload);
    timer = setTimeout(next, performance.now() < until ? SOON : PERIOD);
  };
  timer = setTimeout(next, PERIOD);
  document.addEventListener("visibilitychange", () => document.hidden || next());
  window.addEventListener("online", next);
  begin.next = next;
}

/** Look closely for a while: something is about to change. */
export function closely() {
  until = performance.now() + SOON_FOR;
  begin.next();
}
