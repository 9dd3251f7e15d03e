// Searches: what is asked of the service, a request a column, and how the hits compare with kNN's.

import { address, form, json, timed } from "./api.js";
import { toId } from "./json.js";
import { info } from "./collection.js";
import { chosen } from "./options.js";
import { filterOf } from "./filtering.js";
import { picture } from "./pictures.js";

const KNN = "knn";

/** The columns of a state: {name, title, model, fusion} each, kNN's first. */
export function columnsOf(now) {
  const names = chosen(now);
  const columns = [{ name: KNN, title: "kNN", model: KNN }];
  if (now.fusion && names.length > 1) {
    const title = `${names.join(" + ")}, fused by ${now.fusion === "rrf" ? "rank" : "score"}`;
    columns.push({ name: "fused", title, model: names, fusion: now.fusion });
  } else {
    columns.push(...names.map((name) => ({ name, title: name, model: name })));
  }
  return columns;
}

/** Whether the hits of a column can be explained: those of one model, from one query. */
export const canExplain = (now, column) =>
  column.name !== KNN && !column.fusion && now.plus.length === 0;

function optionsOf(now, column, k) {
  const options = { model: column.model, k, with_payload: true };
  if (column.fusion) options.fusion = column.fusion;
  if (column.name !== KNN) {
    if (now.kq !== null) options.k_q = now.kq;
    if (now.seeds !== null) options.seeds = now.seeds;
  }
  if (now.min !== null) options.min_similarity = now.min;
  if (now.group !== null) options.group_by = now.group;
  const filter = filterOf(now.filter);
  if (filter) options.filter = filter;
  return options;
}

function request(now, options) {
  if (now.picture !== null) {
    if (now.crop) options.crop = now.crop;
    return form(picture(now.picture).file, options);
  }
  const ids = (texts) => texts.map((text) => toId(text, info().ids));
  if (now.id !== null) options.id = toId(now.id, info().ids);
  else {
    options.positive = ids(now.plus);
    if (now.minus.length) options.negative = ids(now.minus);
  }
  return json("POST", options);
}

const ask = (now, options, signal) =>
  timed(address(now.collection, "/search"), { ...request(now, options), signal });

/** Search with every column's model at once; each gets its `hits` and `took`. */
export async function search(now, signal) {
  const k = Math.min(now.k, info().rows);
  const columns = columnsOf(now);
  const answers = await Promise.all(
    columns.map((column) => ask(now, optionsOf(now, column, k), signal)));
  const arrived = Math.max(...answers.map((each) => each.arrived));
  columns.forEach((column, place) => {
    const { answer } = answers[place];
    const [result] = answer.results;
    Object.assign(column, {
      hits: result.hits, matched: result.matched, reached: result.reached,
      took: answer.took_ms, version: answer.version,
    });
  });
  compare(columns);
  return { columns, arrived };
}

/** Number the hits, and mark those that kNN has further down, or not at all. */
function compare([knn, ...others]) {
  const ranks = new Map(knn.hits.map((hit, place) => [hit.id, place + 1]));
  for (const column of [knn, ...others]) {
    const best = Math.max(...column.hits.map((hit) => hit.score), 1e-12);
    column.hits.forEach((hit, place) => {
      hit.rank = place + 1;
      hit.share = Math.max(0, Math.min(1, hit.score / best));
      if (column === knn) return;
      const before = ranks.get(hit.id);
      hit.place = before ? `rank ${before}` : `not in its first ${knn.hits.length}`;
      if (!before) hit.badge = { kind: "new", text: "new", meaning: `new: ${hit.place} of kNN` };
      else if (before > hit.rank) {
        const by = before - hit.rank;
        hit.badge = { kind: "up", text: `↑${by}`, meaning: `${by} places up from kNN's ${before}` };
      }
    });
    column.isNew = column.hits.filter((hit) => hit.badge?.kind === "new").length;
  }
}

/** The one hit at a rank, with the shares of its score. */
export async function explain(now, column, rank) {
  const { answer } = await ask(now, { ...optionsOf(now, column, 1), offset: rank - 1, explain: true });
  return answer.results[0].hits[0];
}
