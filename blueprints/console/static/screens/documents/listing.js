// @ts-check
// The documents of one owner, as far as their pages were loaded: newest first, as the API lists them.

/** @typedef {import("./types.js").Doc} Doc */

const A_PAGE = 100;
// A listing that is older is loaded anew when the screen is opened again.
const FRESH_MS = 60_000;

/** Tells `change` whenever something of it did. */
export class Listing extends EventTarget {
  /** @type {Map<string, Doc>} */
  #documents = new Map();
  /** @type {string|null} */
  #cursor = null;
  /** @type {Promise<void>|null} */
  #loading = null;
  // Counts how often it was begun anew: pages that were asked for before are not taken.
  #age = 0;
  #begunAt = 0;
  // Deleted here, or being so: a page may still hold them, and an id never comes again.
  #gone = new Set();

  /**
   * @param {any} app
   * @param {string|undefined} owner whose documents an admin looks at; his own without one
   */
  constructor(app, owner) {
    super();
    this.app = app;
    this.owner = owner;
    this.complete = false;
  }

  /** @returns {Doc[]} */
  get documents() {
    return [...this.#documents.values()];
  }

  get isLoading() {
    return this.#loading !== null;
  }

  get isFresh() {
    return Date.now() - this.#begunAt < FRESH_MS;
  }

  /** Forgets everything; the next `more` loads the first page. */
  reset() {
    this.#age += 1;
    this.#documents.clear();
    this.#cursor = null;
    this.#loading = null;
    this.complete = false;
    this.#begunAt = 0;
    this.#changed();
  }

  /**
   * Loads one more page. Whoever asks while one is on its way waits for that one.
   * @returns {Promise<void>}
   */
  more() {
    if (this.complete) return Promise.resolve();
    this.#loading ??= this.#load().finally(() => this.#changed());
    return this.#loading;
  }

  /**
   * Loads all that is left.
   * @param {AbortSignal} [signal] stops before the next page; what was loaded stays
   */
  async all(signal) {
    while (!this.complete) {
      signal?.throwIfAborted();
      await this.more();
    }
  }

  async #load() {
    const age = this.#age;
    if (!this.#begunAt) this.#begunAt = Date.now();
    queueMicrotask(() => this.#changed());
    try {
      const asked = { limit: A_PAGE, cursor: this.#cursor ?? undefined, owner: this.owner };
      const page = await this.app.kb.documents.page(asked);
      if (age === this.#age) this.#take(page);
    } finally {
      if (age === this.#age) this.#loading = null;
    }
  }

  /** @param {{documents: Doc[], next_cursor: string|null}} page */
  #take(page) {
    for (const one of page.documents) {
      if (!this.#gone.has(one.document_id)) this.#documents.set(one.document_id, one);
    }
    this.#cursor = page.next_cursor;
    this.complete = page.next_cursor === null;
  }

  /** @param {string} id */
  get(id) {
    return this.#documents.get(id);
  }

  /**
   * Takes a newer state of a document, or a new one.
   * @param {Doc} document
   */
  put(document) {
    if (this.#gone.has(document.document_id)) return;
    this.#documents.set(document.document_id, document);
    this.#changed();
  }

  /** @param {string} id */
  remove(id) {
    this.#gone.add(id);
    this.#documents.delete(id);
    this.#changed();
  }

  /**
   * A deletion failed: where it is listed again it is shown.
   * @param {string} id
   */
  isNotGone(id) {
    this.#gone.delete(id);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
