// JSON whose whole numbers are exact: ids have up to 64 bits, and JavaScript's numbers 53.

const LONG = /[[:,]\s*-?\d{16,}\s*[,\]}]/;

/** Read an answer; numbers that would lose digits become BigInt where the browser can tell. */
export function parse(text) {
  if (!LONG.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_, value, context) => {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    const source = context?.source;
    return source && /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}

/** Write a request. */
export function stringify(value) {
  return JSON.stringify(value, (_, each) =>
    typeof each === "bigint" ? (JSON.rawJSON ? JSON.rawJSON(String(each)) : Number(each)) : each);
}

/** An id of a collection from its text. */
export function toId(text, kind) {
  if (kind === "string" || !/^-?\d{1,19}$/.test(text)) return text;
  const near = Number(text);
  return Number.isSafeInteger(near) ? near : BigInt(text);
}
