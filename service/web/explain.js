// Why a hit is there: the query, its neighbours that lead on to the hit, and what each of them gave.

import { by, h, put, s } from "./dom.js";
import { explain as ask } from "./search.js";
import { report } from "./alerts.js";
import { hasThumbnails, info } from "./collection.js";
import { picture } from "./pictures.js";
import { toId } from "./json.js";
import { drawable } from "./thumbs.js";
import { percent, plural, score, value } from "./format.js";

const MOST = 7;
const WIDTH = 640;
const ROW = 74;
const SIDE = 60;
const END = 84;
const THICKEST = 14;

function close(dialog) {
  dialog.close();
}

/** A square with a picture, or with text. */
function node(x, y, size, text, source, kind = "") {
  const group = s("g", { class: `node ${kind}` },
    s("rect", { x: x - size / 2, y: y - size / 2, width: size, height: size, rx: 8 }));
  const inside = s("text", { x, y, class: "inside", "text-anchor": "middle", "dominant-baseline": "central" }, text);
  group.append(inside);
  source?.then((href) => {
    const image = s("image", {
      x: x - size / 2 + 3, y: y - size / 2 + 3, width: size - 6, height: size - 6,
      preserveAspectRatio: "xMidYMid meet",
    });
    image.addEventListener("load", () => {
      inside.remove();
      if (href.startsWith("blob:") && href !== picture(source.of)?.url) URL.revokeObjectURL(href);
    });
    image.addEventListener("error", () => image.remove());
    image.setAttribute("href", href);
    group.append(image);
  }).catch(() => {});
  return group;
}

function edge(from, to, share, kind) {
  const middle = (from[0] + to[0]) / 2;
  return s("path", {
    d: `M${from[0]},${from[1]} C${middle},${from[1]} ${middle},${to[1]} ${to[0]},${to[1]}`,
    class: `edge ${kind}`, "stroke-width": Math.max(1, THICKEST * share).toFixed(2), fill: "none",
  });
}

const label = (x, y, text, anchor) => s("text", { x, y, class: "label", "text-anchor": anchor }, text);

const sourceOf = (id) => (hasThumbnails() ? drawable(id) : null);

function querySource(now) {
  if (now.picture === null) return sourceOf(toId(now.id, info().ids));
  return Object.assign(Promise.resolve(picture(now.picture).url), { of: now.picture });
}

function drawing(now, hit, shares) {
  const drawn = shares.slice(0, MOST);
  const height = Math.max(2, drawn.length) * ROW + 30;
  const middle = height / 2;
  const [left, centre, right] = [END / 2 + 6, WIDTH / 2, WIDTH - END / 2 - 6];
  const heaviest = Math.max(...shares.map((each) => each.weight), 1e-12);
  const parts = { edges: [], labels: [], nodes: [] };
  drawn.forEach((each, place) => {
    const y = middle + (place - (drawn.length - 1) / 2) * ROW;
    parts.edges.push(
      edge([left + END / 2, middle], [centre - SIDE / 2, y], each.weight / heaviest, "to"),
      edge([centre + SIDE / 2, y], [right - END / 2, middle], each.share, "on"));
    parts.labels.push(
      label(centre - SIDE / 2 - 10, y - 10, score(each.weight), "end"),
      label(centre + SIDE / 2 + 10, y - 10, percent(each.share), "start"));
    parts.nodes.push(node(centre, y, SIDE, value(each.id, 8), sourceOf(each.id)));
  });
  const name = now.picture === null ? value(now.id, 10) : "picture";
  parts.nodes.push(
    node(left, middle, END, name, querySource(now), "is-query"),
    node(right, middle, END, value(hit.id, 10), sourceOf(hit.id), "is-hit"));
  parts.labels.push(
    label(left, middle + END / 2 + 18, "query", "middle"), label(right, middle + END / 2 + 18, "hit", "middle"));
  return s("svg", {
    viewBox: `0 0 ${WIDTH} ${height}`, class: "why", role: "img",
    "aria-label": "From the query through its neighbours to the hit; the table has the same numbers",
  }, parts.edges, parts.nodes, parts.labels);
}

function table(shares) {
  const head = ["Neighbour", "Similarity to the query", "Weight", "Contribution", "Share"];
  return h("div", { class: "scroll" }, h("table", null,
    h("thead", null, h("tr", null, head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", null, shares.map((each) => h("tr", null,
      h("th", { scope: "row" }, value(each.id, 60)),
      [score(each.similarity), score(each.weight), score(each.contribution), percent(each.share)]
        .map((text) => h("td", null, text)))))));
}

function body(now, column, hit) {
  const shares = hit.explain;
  if (shares.length === 0) {
    return [h("p", null, "The diffusion did not reach this item. It follows in the order of plain kNN, by its similarity of ",
      h("b", null, score(hit.similarity)), ".")];
  }
  const own = shares.find((each) => each.id === hit.id);
  const others = shares.length - Math.min(MOST, shares.length);
  return [
    h("p", null, `Its score ${score(hit.score)} comes through ${plural(shares.length, "neighbour")} of the query`,
      own ? `, one of which is the hit itself (${percent(own.share)}).` : ". The hit itself is none of them."),
    drawing(now, hit, shares),
    h("p", { class: "hint" }, "Left: with which weight the neighbour counts. Right: its share of the score.",
      others > 0 && ` ${plural(others, "more neighbour")} in the table.`),
    table(shares),
  ];
}

/** Open the dialog that tells why a hit is there. */
export async function explain(now, column, item) {
  try {
    const hit = await ask(now, column, item.rank);
    if (!hit) return;
    const dialog = by("why-dialog");
    put(dialog,
      h("div", { class: "dialog-head" },
        h("h2", { id: "why-title" }, `Why ${value(hit.id, 60)}?`),
        h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => close(dialog) }, "×")),
      h("p", { class: "over" }, `rank ${item.rank} of ${column.title} · similarity ${score(hit.similarity)} · ${
        item.place ? `kNN: ${item.place}` : ""}`),
      ...body(now, column, hit));
    dialog.showModal();
  } catch (error) {
    report(error);
  }
}
