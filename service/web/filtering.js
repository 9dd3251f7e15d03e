// Conditions on payload columns, and the filter of the API that they make together.

/** How a column may be tested: [name, text, fields]. */
export const TESTS = {
  eq: { text: "is", fields: ["value"] },
  ne: { text: "is not", fields: ["value"] },
  in: { text: "is one of", fields: ["values"] },
  range: { text: "is between", fields: ["gte", "lte"] },
  exists: { text: "has a value", fields: [] },
  missing: { text: "has no value", fields: [] },
};

/** The tests that make sense for values of a kind. */
export const testsOf = (kind) =>
  Object.keys(TESTS).filter((name) => kind !== "boolean" || !["in", "range"].includes(name));

/** What was typed, as a value of the column's kind; null: nothing of that kind. */
export function typed(text, kind) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  if (kind === "boolean") return { true: true, false: false }[trimmed] ?? null;
  if (kind !== "number") return trimmed;
  const value = Number(trimmed);
  return Number.isFinite(value) ? value : null;
}

function one({ column, op, value, values, gte, lte }) {
  switch (op) {
    case "eq": return { column, eq: value };
    case "ne": return { not: { column, eq: value } };
    case "in": return { column, in: values };
    case "exists": return { column, exists: true };
    case "missing": return { column, exists: false };
    default: return {
      column,
      ...(gte === null || gte === undefined ? {} : { gte }),
      ...(lte === null || lte === undefined ? {} : { lte }),
    };
  }
}

/** The filter of some conditions, all of which have to hold; null for none. */
export function filterOf(conditions) {
  if (conditions.length === 0) return null;
  return conditions.length === 1 ? one(conditions[0]) : { and: conditions.map(one) };
}

/** A condition in words. */
export function words({ column, op, value, values, gte, lte }) {
  const has = (bound) => bound !== null && bound !== undefined;
  switch (op) {
    case "eq": return `${column} is ${value}`;
    case "ne": return `${column} is not ${value}`;
    case "in": return `${column} is one of ${(values ?? []).join(", ")}`;
    case "exists": return `${column} has a value`;
    case "missing": return `${column} has no value`;
    default:
      if (has(gte) && has(lte)) return `${column} from ${gte} to ${lte}`;
      return has(gte) ? `${column} at least ${gte}` : `${column} at most ${lte}`;
  }
}
