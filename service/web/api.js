// Requests to the service that this page came from: the key, problems, one retry, event streams.

import { parse, stringify } from "./json.js";

const KEY = "kinfold-key";
const LONGEST_WAIT = 5;
const BASE = new URL("v1/collections", document.baseURI).href;

/** What the service refused, as RFC 9457 tells it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `status ${status}`);
    this.status = status;
    this.body = body;
  }

  /** The kind, as in /docs#kind. */
  get kind() {
    return String(this.body.type ?? "").split("#").pop();
  }
}

/** The service did not answer at all. */
export class Unreachable extends Error {}

let askForKey = async () => false;
let asking = null;

/** Set what asks the reader for a key: takes a problem, gives whether there is a new one. */
export function onUnauthorized(ask) {
  askForKey = ask;
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** The address of something of a collection; names and ids may hold anything. */
export function address(collection, rest = "", query = {}) {
  const path = collection === null ? "" : `/${encodeURIComponent(collection)}`;
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const search = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]));
  return `${BASE}${path}${rest}${pairs.length ? `?${search}` : ""}`;
}

async function once(url, options) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("X-API-Key", key.get());
  try {
    return await fetch(url, {
      ...options, headers, credentials: "omit", referrerPolicy: "no-referrer",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("The service cannot be reached. Is it running, and the network up?");
  }
}

async function problemOf(response) {
  try {
    return new Problem(response.status, JSON.parse(await response.text()));
  } catch {
    return new Problem(response.status, {
      title: `Status ${response.status}`,
      detail: "The answer is not from Kinfold: a proxy between may have refused the request.",
    });
  }
}

/** Whether there is a new key now; many requests that are refused at once ask once. */
function newKey(problem, used) {
  if (key.get() !== used) return true;
  asking ??= askForKey(problem).finally(() => { asking = null; });
  return asking;
}

/** One answer that is not an error; asks for a key where one is missing, and waits once. */
export async function send(url, options = {}) {
  let waited = false;
  for (;;) {
    const used = key.get();
    const response = await once(url, options);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status === 401 && !options.quiet && await newKey(problem, used)) continue;
    const wait = Number(response.headers.get("Retry-After"));
    if (response.status === 503 && wait > 0 && !waited) {
      waited = true;
      await sleep(1000 * Math.min(wait, LONGEST_WAIT));
      continue;
    }
    throw problem;
  }
}

/** A JSON answer, and the moment at which all of it had arrived. */
export async function timed(url, options) {
  const response = await send(url, options);
  const text = await response.text();
  const arrived = performance.now();
  return { answer: parse(text), arrived };
}

export const get = async (url, options) => (await timed(url, options)).answer;

export function json(method, body) {
  return { method, body: stringify(body), headers: { "Content-Type": "application/json" } };
}

/** A search by a picture. */
export function form(image, options) {
  const body = new FormData();
  body.append("image", image, "picture");
  body.append("options", stringify(options));
  return { method: "POST", body };
}

/** Read a stream of server-sent events, each as {event, data}; ends with the stream. */
export async function* events(url, signal) {
  const response = await send(url, { headers: { Accept: "text/event-stream" }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = {};
      for (const line of block.split("\n")) {
        const at = line.indexOf(":");
        if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).trim();
      }
      if (fields.data) yield { event: fields.event ?? "message", data: parse(fields.data) };
    }
  }
}
