// The collection that is open: what the service tells of it, and what its payload is like.

import { address, get } from "./api.js";

const LOOKED_AT = 100;

let open = null;

/** The description of the open collection, with `columns`; null when none is. */
export const info = () => open;

/** All collections, with their states. */
export const list = async (options) => (await get(address(null), options)).collections;

/** Open a collection; one that is not ready has no version and no columns. */
export async function load(name) {
  const found = await get(address(name));
  found.columns = new Map();
  if (found.version) {
    const query = { sample: 0, limit: Math.min(LOOKED_AT, found.rows) };
    found.columns = columnsOf(found.payload_columns, (await get(address(name, "/items", query))).items);
  }
  open = found;
  return found;
}

export function close() {
  open = null;
}

/** Each column's kind, and the values of some items: what a filter may offer. */
function columnsOf(names, items) {
  return new Map(names.map((name) => {
    const values = items.flatMap((item) => item.payload[name] ?? []);
    const kinds = new Set(values.map((value) => (typeof value === "bigint" ? "number" : typeof value)));
    const kind = kinds.size === 1 && !kinds.has("object") ? [...kinds][0] : "string";
    const distinct = [...new Set(values.filter((value) => typeof value !== "object"))];
    return [name, { name, kind, values: distinct }];
  }));
}

/** Models that are no plain kNN. */
export const models = () => open.models.filter((name) => name !== "knn");

export const hasThumbnails = () => Boolean(open?.pictures?.thumbnails);

export const hasEncoder = () => Boolean(open?.pictures?.encoder);
