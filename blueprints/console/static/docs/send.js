// @ts-check
/** One call to the gateway, told while it goes on. */

import { SseParser } from "../client/sse.js";

/** @typedef {import("./call.js").Call} Call */

/**
 * @typedef {object} StreamEvent
 * @property {string} name `message` where the event has none
 * @property {string} data
 */

/**
 * Whoever watches a call. Each is told at most once, except `onEvent` and `onComment`.
 *
 * @typedef {object} Watcher
 * @property {(response: Response, afterMs: number) => void} onHead
 * @property {(event: StreamEvent, afterMs: number) => void} onEvent
 * @property {(count: number, afterMs: number) => void} onComment comments came, signs of life
 * @property {(bytes: Uint8Array, whole: boolean) => void} onBody for an answer that is no stream
 */

// More of one body than anybody reads; the rest is left unread.
export const SHOWN_BYTES = 2 * 1024 * 1024;

/**
 * Sends a call and reads its answer to the end.
 *
 * @param {Call} call
 * @param {string | null} token sent as a bearer token; without one nothing says who asks, unless
 *   `cookies` are to
 * @param {boolean} cookies
 * @param {AbortSignal} signal
 * @param {Watcher} watcher
 * @returns {Promise<number>} milliseconds until the end
 * @throws {TypeError} the browser got no answer, or a part of one
 * @throws {Error} an event is larger than what is shown
 * @throws {DOMException} `AbortError`: the reader stopped it
 */
export async function send(call, token, cookies, signal, watcher) {
  const began = performance.now();
  const since = () => performance.now() - began;
  const response = await fetch(call.target, request(call, token, cookies, signal));
  watcher.onHead(response, since());
  if (isStream(response)) await readEvents(response, since, watcher);
  else await readBody(response, watcher);
  return since();
}

/**
 * @param {Response} response
 * @returns {boolean}
 */
export function isStream(response) {
  return (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
}

/**
 * @param {Call} call
 * @param {string | null} token
 * @param {boolean} cookies
 * @param {AbortSignal} signal
 * @returns {RequestInit}
 */
function request(call, token, cookies, signal) {
  const headers = new Headers(call.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (cookies) headers.set("X-CSRF-Protection", "1");
  return {
    method: call.method,
    headers,
    body: call.body,
    signal,
    // Two credentials at once are refused.
    credentials: cookies ? "same-origin" : "omit",
    redirect: "manual",
    // What is shown is the gateway's answer, not one that the browser kept.
    cache: call.method === "GET" ? "no-store" : "default",
  };
}

/**
 * @param {Response} response
 * @param {() => number} since
 * @param {Watcher} watcher
 */
async function readEvents(response, since, watcher) {
  const parser = new SseParser({ line: SHOWN_BYTES, event: SHOWN_BYTES });
  for await (const bytes of pieces(response)) {
    const before = parser.comments;
    const events = parser.feed(bytes);
    if (parser.comments > before) watcher.onComment(parser.comments - before, since());
    events.forEach((event) => watcher.onEvent(event, since()));
  }
}

/**
 * @param {Response} response
 * @param {Watcher} watcher
 */
async function readBody(response, watcher) {
  /** @type {Uint8Array[]} */
  const kept = [];
  let length = 0;
  for await (const bytes of pieces(response)) {
    kept.push(bytes);
    length += bytes.length;
    if (length > SHOWN_BYTES) break;
  }
  const all = new Uint8Array(await new Blob(/** @type {BlobPart[]} */ (kept)).arrayBuffer());
  watcher.onBody(all.subarray(0, SHOWN_BYTES), length <= SHOWN_BYTES);
}

/**
 * What comes of a body, piece by piece; leaving the loop ends the transfer. Not every browser can
 * iterate over a body by itself.
 *
 * @param {Response} response
 * @returns {AsyncGenerator<Uint8Array, void, void>}
 */
async function* pieces(response) {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
