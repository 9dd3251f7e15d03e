// The page: what its address says is fetched and shown.

import { by, h, put, select } from "./dom.js";
import * as collection from "./collection.js";
import { begin as beginState, go, hasQuery, NO_QUERY, onChange, START, state } from "./state.js";
import * as alerts from "./alerts.js";
import * as builds from "./builds.js";
import * as card from "./card.js";
import * as filters from "./filters.js";
import * as key from "./key.js";
import * as map from "./map.js";
import * as options from "./options.js";
import * as overview from "./overview.js";
import * as query from "./query.js";
import * as results from "./results.js";
import * as shortcuts from "./shortcuts.js";
import * as upload from "./upload.js";
import * as versions from "./versions.js";
import * as watch from "./watch.js";
import { search } from "./search.js";
import { picture } from "./pictures.js";

const WARMING_AGAIN = 1000;

let work = new AbortController();
let searching = new AbortController();
let asked = "";
let looked = "";
let again = 0;

/** What a search depends on; another view of the same one asks nothing. */
const questionOf = ({ view, sample, knn, ...rest }) => JSON.stringify([rest, collection.info()?.version]);

async function choose(name) {
  const collections = await collection.list();
  put(by("collection"), select(
    [["", "Choose a collection"], ...collections.map((each) => [each.name, each.name])], name ?? "", {
      id: "collection-field", "aria-label": "Collection",
      onchange: (event) => go({ ...START, collection: event.target.value || null }),
    }));
  return collections;
}

/** Open the collection of the address; gives whether it can be searched. */
async function open(now) {
  const collections = await choose(now.collection);
  if (now.collection === null) {
    collection.close();
    if (collections.length === 1) go({ collection: collections[0].name }, { replace: true });
    else overview.chooser(collections);
    return false;
  }
  const found = await collection.load(now.collection).catch((error) => {
    collection.close();
    overview.chooser(collections);
    views(now, false);
    throw error;
  });
  if (state().collection !== now.collection) return false;
  if (!found.version) {
    overview.unusable(found);
    clearTimeout(again);
    if (found.status === "warming") again = setTimeout(() => reload(), WARMING_AGAIN);
    return false;
  }
  filters.build();
  options.build();
  upload.offer();
  overview.draw();
  return true;
}

function views(now, isOpen) {
  const shown = isOpen ? now.view : "search";
  document.body.dataset.view = shown;
  document.body.classList.toggle("is-open", isOpen);
  const found = hasQuery(now);
  by("overview").hidden = shown !== "search" || (isOpen && found);
  by("results").hidden = shown !== "search" || !isOpen || !found;
  by("map").hidden = shown !== "map" || !isOpen;
  by("versions").hidden = shown !== "versions" || !isOpen;
  by("finder").hidden = !isOpen || shown === "versions";
  for (const link of by("views").querySelectorAll("button")) {
    link.toggleAttribute("disabled", !isOpen);
    if (link.dataset.view === shown && isOpen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const what = now.id ?? (now.picture !== null ? "a picture" : now.plus.join(" + "));
  document.title = [what, now.collection, "Kinfold"].filter(Boolean).join(" · ");
}

async function ask(now, before) {
  if (!hasQuery(now)) {
    searching.abort();
    asked = "";
    results.clear();
    map.mark([], []);
    const look = JSON.stringify([now.collection, collection.info().version, now.filter, now.sample]);
    if (look === looked && by("items").childElementCount) return;
    looked = look;
    await overview.items(now, work.signal);
    return;
  }
  const question = questionOf(now);
  if (question === asked) {
    if (now.knn !== before.knn) results.redraw(now);
    return;
  }
  asked = question;
  searching.abort();
  searching = new AbortController();
  alerts.clear();
  results.wait();
  try {
    const found = await search(now, searching.signal);
    results.draw(now, found);
    if (found.columns.some((column) => column.version !== collection.info().version)) watch.closely();
    map.mark(found.columns.flatMap((column) => column.hits.map((hit) => hit.id)), now.id !== null ? [now.id] : now.plus);
  } catch (error) {
    if (asked === question) {
      asked = "";
      results.clear();
    }
    throw error;
  }
}

async function manage(now) {
  const { signal } = work;
  const anew = (job) => {
    if (job?.status === "done") watch.closely();
    if (state().view === "versions" && !signal.aborted) show(state(), state()).catch(alerts.report);
  };
  await Promise.all([versions.draw(now.collection, anew, signal), builds.list(now.collection, anew, signal)]);
}

async function show(now, before) {
  work.abort();
  work = new AbortController();
  card.close();
  let isOpen = collection.info()?.name === now.collection && Boolean(collection.info()?.version);
  if (!isOpen || now === before) {
    if (now.collection !== before.collection || !isOpen) isOpen = await open(now);
    if (state() !== now) return;
  }
  views(now, isOpen);
  if (!isOpen) return;
  if (now.picture !== null && !picture(now.picture)) {
    alerts.tell("The picture is gone", "Pictures are not kept in links, nor when the page is loaded again. Choose it once more.");
    go({ ...NO_QUERY }, { replace: true });
    return;
  }
  options.row(now);
  options.mark(now);
  filters.chips(now);
  query.draw(now);
  if (now.id !== null && document.activeElement !== by("id-field")) by("id-field").value = now.id;
  await Promise.all([
    ask(now, before),
    now.view === "map" && map.open(work.signal),
    now.view === "versions" && manage(now),
  ]);
}

/** Open the collection anew, as after another version went live. */
async function reload() {
  asked = "";
  looked = "";
  collection.close();
  await changed(state(), state());
}

const changed = (now, before) => show(now, before).catch(alerts.report);

function panels() {
  for (const name of ["filters", "options"]) {
    const button = by(`show-${name}`);
    button.onclick = () => {
      const isOpen = button.getAttribute("aria-expanded") === "true";
      for (const other of ["filters", "options"]) {
        const opened = other === name && !isOpen;
        by(`show-${other}`).setAttribute("aria-expanded", String(opened));
        by(`${other}-panel`).hidden = !opened;
      }
      if (!isOpen) by(`${name}-panel`).querySelector("select, input")?.focus();
    };
  }
}

key.begin();
card.begin();
upload.begin();
map.begin();
panels();
shortcuts.begin();
watch.begin(reload);
by("views").addEventListener("click", (event) => {
  const view = event.target.closest("button")?.dataset.view;
  if (view) go({ view });
});
by("home").addEventListener("click", (event) => {
  event.preventDefault();
  go({ ...NO_QUERY, view: "search", collection: state().collection });
});
by("skip").addEventListener("click", (event) => {
  event.preventDefault();
  by("main").focus();
});
onChange(changed);
beginState();
