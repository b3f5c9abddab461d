// @ts-check
// Documents that are being processed, watched until they are done: a few at a time, the oldest first.

import { isLost } from "./transfer.js";
import { whose } from "../../session.js";

/** @typedef {import("./types.js").Doc} Doc */

// Each is asked about up to four times a second. Those behind wait: documents are processed in order.
const AT_ONCE = 4;
// How long until what no answer came for is asked about again.
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [5_000, 60_000];

export class Watching {
  /** @type {Map<string, ((document: Doc) => void)[]>} */
  #waiting = new Map();
  /** @type {Map<string, {listeners: ((document: Doc) => void)[], control: AbortController}>} */
  #watched = new Map();
  /** @type {Map<string, ((document: Doc) => void)[]>} */
  #lost = new Map();
  #nextTry = 0;
  #wait = FIRST_WAIT_MS;

  /**
   * @param {any} app
   * @param {import("./listing.js").Listing} listing is told each new state
   */
  constructor(app, listing) {
    this.app = app;
    this.me = app.me;
    this.listing = listing;
  }

  /**
   * Watches a document, once however often it is asked for.
   * @param {string} id
   * @param {(document: Doc) => void} [told]
   */
  add(id, told) {
    const listeners = this.#watched.get(id)?.listeners ?? this.#waiting.get(id) ?? this.#lost.get(id) ?? [];
    this.#lost.delete(id);
    if (told) listeners.push(told);
    if (!this.#watched.has(id)) this.#waiting.set(id, listeners);
    this.#next();
  }

  /** With those that the network, or the end of a session, kept from being asked about. */
  goOn() {
    clearTimeout(this.#nextTry);
    this.#nextTry = 0;
    if (!isHere(this.app, this.me)) return;
    for (const id of [...this.#lost.keys()]) this.add(id);
  }

  stop() {
    clearTimeout(this.#nextTry);
    this.#waiting.clear();
    this.#lost.clear();
    for (const { control } of this.#watched.values()) control.abort();
  }

  #next() {
    while (this.#watched.size < AT_ONCE && this.#waiting.size) {
      const [id] = [...this.#waiting.keys()].sort();
      const listeners = this.#waiting.get(id) ?? [];
      this.#waiting.delete(id);
      this.#watch(id, listeners);
    }
  }

  /**
   * @param {string} id
   * @param {((document: Doc) => void)[]} listeners
   */
  async #watch(id, listeners) {
    const control = new AbortController();
    this.#watched.set(id, { listeners, control });
    try {
      await this.#follow(id, listeners, control.signal);
    } catch (error) {
      if (!control.signal.aborted) this.#failed(id, listeners, error);
    } finally {
      this.#watched.delete(id);
      this.#next();
    }
  }

  /**
   * @param {string} id
   * @param {((document: Doc) => void)[]} listeners
   * @param {AbortSignal} signal
   */
  async #follow(id, listeners, signal) {
    const { owner } = this.listing;
    for await (const document of this.app.kb.documents.watch(id, { owner, signal })) {
      this.#wait = FIRST_WAIT_MS;
      this.listing.put(document);
      for (const told of listeners) told(document);
    }
  }

  /**
   * A document that is gone was deleted elsewhere. Of what is refused the list shows the last that is known.
   * @param {string} id
   * @param {((document: Doc) => void)[]} listeners
   * @param {any} error
   */
  #failed(id, listeners, error) {
    if (error.status === 404) return this.listing.remove(id);
    if (!isLost(error) && error.status !== 429 && !(error.status >= 500)) return;
    this.#lost.set(id, listeners);
    if (error.status === 401) this.app.failed(error);
    else this.#later();
  }

  #later() {
    if (this.#nextTry) return;
    this.#nextTry = window.setTimeout(() => this.goOn(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
  }
}

/**
 * Whether the same person is signed in now: nothing is asked as somebody else.
 * @param {any} app
 * @param {{subject: string, tenant: string}} me
 */
export function isHere({ me: now }, me) {
  return Boolean(now) && whose(now) === whose(me);
}
