// The builds of the collection that is open; those that run are followed as they go.

import { by, h, put } from "./dom.js";
import { address, events, get, send } from "./api.js";
import { confirm } from "./confirm.js";
import { report } from "./alerts.js";
import { count, number, plural, seconds, time, value } from "./format.js";

const AGAIN = 2000;
const ACTIVE = ["queued", "running"];

const isActive = (job) => ACTIVE.includes(job.status);

const pathOf = (job, rest = "") => address(job.collection, `/builds/${encodeURIComponent(job.id)}${rest}`);

async function change(method, url, onDone) {
  try {
    const answer = await send(url, { method });
    await answer.text();
    onDone();
  } catch (error) {
    report(error);
  }
}

async function cancel(job, onDone) {
  const isSure = await confirm("Cancel this build?", "What its finished stages made is kept, so that it can be tried again.", "Cancel the build");
  if (isSure) await change("DELETE", pathOf(job), onDone);
}

function progressOf({ progress, status, cancel_requested: isCancelled }) {
  if (isCancelled) return { text: "stopping …", part: null };
  if (status === "queued" || !progress) return { text: "waiting for its turn", part: null };
  const stages = progress.stages_total ? `stage ${Math.min(progress.stages_done + 1, progress.stages_total)} of ${progress.stages_total}: ` : "";
  const parts = [`${stages}${progress.phase}${progress.model ? ` of ${progress.model}` : ""}`];
  parts.push(`${count(progress.done)} of ${count(progress.total)} ${progress.unit}`);
  if (progress.rate) parts.push(`${count(Math.round(progress.rate))} a second`);
  if (progress.eta_seconds !== null) parts.push(`${seconds(progress.eta_seconds)} left`);
  return { text: parts.join(" · "), part: progress.total ? progress.done / progress.total : null };
}

function outcome(job) {
  if (job.result) return `${job.result.version} in ${seconds(job.result.seconds)}`;
  if (job.error) return value(job.error.message ?? job.error.type, 400);
  return "";
}

const titleOf = ({ spec }) => spec.source ?? (spec.upload ? `upload ${spec.upload.slice(0, 8)}` : "the live version anew");

function draw(card, job, onDone) {
  const { text, part } = progressOf(job);
  const active = isActive(job);
  const bar = active && h("progress", { "aria-label": "Progress of the build", max: "1", ...(part === null ? {} : { value: part }) });
  put(card,
    h("div", { class: "row-card-text" },
      h("p", { class: "row-title" }, value(titleOf(job), 80), h("span", { class: `mark is-${job.status}` }, job.status),
        job.attempt > 1 && h("span", { class: "hint" }, `attempt ${number(job.attempt)}`)),
      bar,
      h("p", { class: "hint" }, active ? text : `${time(job.ended ?? job.created)} · ${outcome(job)}`)),
    active && !job.cancel_requested && h("button", { type: "button", class: "quiet", onclick: () => cancel(job, onDone) }, "Cancel"),
    ["failed", "cancelled"].includes(job.status) && h("button", {
      type: "button", class: "quiet", onclick: () => change("POST", pathOf(job, "/retry"), onDone),
    }, "Try again"));
}

/** Follow a build to its end; a stream that breaks off is taken up again. */
async function follow(job, card, onDone, signal) {
  while (!signal.aborted) {
    try {
      for await (const { event, data } of events(pathOf(job, "/events"), signal)) {
        const focused = card.contains(document.activeElement);
        draw(card, data, onDone);
        if (focused) card.querySelector("button")?.focus();
        if (event === "end") {
          onDone(data);
          return;
        }
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 404) {
        onDone();
        return;
      }
    }
    await new Promise((done) => { setTimeout(done, AGAIN); });
  }
}

/** List the builds; `onDone` is called when one ends, or another begins. */
export async function list(name, onDone, signal) {
  const { builds } = await get(address(name, "/builds"), { signal });
  const cards = builds.map((job) => {
    const card = h("li", { class: "row-card" });
    draw(card, job, onDone);
    if (isActive(job)) follow(job, card, onDone, signal);
    return card;
  });
  put(by("build-list"),
    cards.length ? h("ul", { class: "rows" }, cards) : h("p", { class: "empty" }, "No builds are kept."));
  by("build-note").textContent = builds.some(isActive) ? plural(builds.filter(isActive).length, "build") + " under way" : "";
}
