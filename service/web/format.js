// Numbers, times and payload values as text.

const whole = new Intl.NumberFormat("en");

/** 12,345 */
export const count = (value) => whole.format(value);

/** A number with about four digits that count. */
export function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return String(Number(value.toPrecision(size >= 1000 ? 6 : 4)));
}

/** 0.243: of scores and similarities, as wide as the others. */
export function score(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e4)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 1 : 3);
}

export const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

export function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let step = 0;
  let rest = value;
  for (; rest >= 1000 && step < units.length - 1; step += 1) rest /= 1000;
  return `${rest < 10 && step ? rest.toFixed(1) : Math.round(rest)} ${units[step]}`;
}

export function seconds(value) {
  if (value < 60) return `${Math.max(0, Math.round(value))} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A time of the service, as this reader's clock has it. */
export function time(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  return date.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
}

/** A payload value on one line. */
export function value(given, most = 200) {
  let text = given;
  if (given === null || given === undefined) text = "–";
  else if (typeof given === "number") text = String(given);
  else if (typeof given === "object") text = JSON.stringify(given, (_, v) => (typeof v === "bigint" ? String(v) : v));
  text = String(text);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
