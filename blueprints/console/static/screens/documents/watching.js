// @ts-check
// Documents that are being processed, watched until they are done: a few at a time, the oldest first.

/** @typedef {import("./types.js").Doc} Doc */

// Each is asked about up to four times a second. Those behind wait: documents are processed in order.
const AT_ONCE = 4;

export class Watching {
  /** @type {Map<string, ((document: Doc) => void)[]>} */
  #waiting = new Map();
  /** @type {Map<string, {listeners: ((document: Doc) => void)[], control: AbortController}>} */
  #watched = new Map();

  /**
   * @param {any} app
   * @param {import("./listing.js").Listing} listing is told each new state
   */
  constructor(app, listing) {
    this.app = app;
    this.listing = listing;
  }

  /**
   * Watches a document, once however often it is asked for.
   * @param {string} id
   * @param {(document: Doc) => void} [told]
   */
  add(id, told) {
    const listeners = this.#watched.get(id)?.listeners ?? this.#waiting.get(id) ?? [];
    if (told) listeners.push(told);
    if (!this.#watched.has(id)) this.#waiting.set(id, listeners);
    this.#next();
  }

  stop() {
    this.#waiting.clear();
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
      this.#failed(id, error);
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
      this.listing.put(document);
      for (const told of listeners) told(document);
    }
  }

  /**
   * A document that is gone was deleted elsewhere. Of anything else the list shows the last that is known.
   * @param {string} id
   * @param {any} error
   */
  #failed(id, error) {
    if (error.status === 404) this.listing.remove(id);
    else if (error.status === 401) this.app.failed(error);
  }
}
