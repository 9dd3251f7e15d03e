// Pictures that were dropped, pasted or chosen: kept by this page alone, under a number in its address.

const MOST = 12;

const kept = new Map();
let last = 0;

/** Keep a picture; gives its name for the address. */
export function keep(file) {
  last += 1;
  const name = `${Date.now().toString(36)}-${last}`;
  kept.set(name, { file, url: URL.createObjectURL(file), name: file.name || "picture" });
  if (kept.size > MOST) {
    const [oldest, { url }] = kept.entries().next().value;
    URL.revokeObjectURL(url);
    kept.delete(oldest);
  }
  return name;
}

/** A picture {file, url, name}; undefined after a reload, or when it came from a link. */
export const picture = (name) => kept.get(name);

/** The first file of a drop or of the clipboard that may be a picture. */
export function fileOf(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0] ?? null;
}
