// @ts-check
// Files on their way to the store: a few at once, each told how far it is, in whatever screen one is.

import { KeptStates } from "./kept.js";
import { refusal, rules } from "./rules.js";
import { cause, isLost, transfer } from "./transfer.js";
import { isHere } from "./watching.js";

/** @typedef {import("./chosen_files.js").Chosen} Chosen */

/**
 * `waiting`, `checking` and `sending` are to come or under way; `lost` goes on when there is a network again;
 * `processing`, `ready` and `failed` are what became of the document; all others never became one.
 * @typedef {"waiting"|"checking"|"sending"|"lost"|"processing"|"ready"|"failed"|"skipped"|"refused"|"broken"|"cancelled"} State
 */

/** One file that somebody chose. */
export class Item {
  /** @type {State} */
  state = "waiting";
  checked = 0;
  sent = 0;
  /** @type {string|undefined} */
  sha256 = undefined;
  /** @type {string|undefined} the document that is it, or that it is the same as */
  documentId = undefined;
  /** @type {string|undefined} announced, and not yet complete */
  announced = undefined;
  /** @type {any} the state of an upload in parts */
  resume = undefined;
  /** @type {import("./types.js").Doc|undefined} */
  document = undefined;
  words = "";
  /** @type {any} what stopped it */
  error = undefined;
  control = new AbortController();

  /**
   * @param {Chosen} chosen
   * @param {import("./rules.js").Refusal|null} refused
   */
  constructor({ file, path }, refused) {
    this.file = file;
    this.path = path;
    this.size = file.size;
    if (refused) Object.assign(this, { state: "refused", words: refused.words });
  }
}

// More would only share the same line, and a browser opens six connections to a store.
const FILES_AT_ONCE = 3;
// How long until what was lost is tried again, where the browser does not say that it has no network.
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [5_000, 60_000];
const UNSENT = new Set(["waiting", "checking", "sending", "lost"]);
const OVER = new Set(["ready", "skipped", "refused", "cancelled", "failed", "broken"]);
const NEVER_SENT = new Set(["skipped", "refused", "broken", "cancelled"]);
const AGAIN = new Set(["lost", "broken", "cancelled"]);

/** Tells `change` when something of an item changed, and `ended` when nothing is left to send. */
export class Uploads extends EventTarget {
  /** @type {Item[]} */
  items = [];
  // Files of folders that are of no kind that is taken.
  leftOut = 0;
  /** @type {Set<Item>} */
  #running = new Set();
  #warns = false;
  #nextTry = 0;
  #wait = FIRST_WAIT_MS;

  /**
   * @param {any} app
   * @param {import("./shelf.js").OneShelf} shelf where the documents will stand
   */
  constructor(app, shelf) {
    super();
    this.app = app;
    this.shelf = shelf;
    this.me = app.me;
    this.kept = new KeptStates(app.me);
    this.online = () => this.goOn();
    window.addEventListener("online", this.online);
  }

  /** @returns {Item[]} those that are not in the store yet */
  get unsent() {
    return this.items.filter((one) => UNSENT.has(one.state));
  }

  /**
   * How much of what is to be sent, or was, has gone out; in bytes.
   * @returns {{sent: number, total: number}}
   */
  get totals() {
    const counted = this.items.filter((one) => !NEVER_SENT.has(one.state));
    const sum = (/** @type {(item: Item) => number} */ of) => counted.reduce((all, one) => all + of(one), 0);
    return { sent: sum((one) => one.sent), total: sum((one) => one.size) };
  }

  /** @param {Chosen[]} chosen */
  async add(chosen) {
    const allowed = await rules();
    for (const one of chosen) {
      const refused = refusal(one.file, allowed);
      if (one.inFolder && isLeftOut(one, refused)) this.leftOut += 1;
      else this.items.push(new Item(one, refused));
    }
    this.#fill();
  }

  /** @param {Item} item */
  cancel(item) {
    if (!UNSENT.has(item.state)) return;
    const isBeingAnnounced = item.state === "sending" && !item.announced && !item.resume;
    item.state = "cancelled";
    // Of what is being announced the id is needed first, to take it back.
    if (!isBeingAnnounced) item.control.abort();
    this.#discard(item);
    this.#fill();
  }

  cancelAll() {
    for (const item of this.unsent.reverse()) this.cancel(item);
  }

  /**
   * Sends a file again: in parts it goes on, as a form it begins anew.
   * @param {Item} item
   */
  again(item) {
    if (!AGAIN.has(item.state)) return;
    if (!item.resume) this.#discard(item);
    Object.assign(item, { state: "waiting", words: "", error: undefined, checked: 0, sent: 0 });
    item.control = new AbortController();
    this.#fill();
  }

  /** All that the network stopped, or the end of a session. */
  goOn() {
    clearTimeout(this.#nextTry);
    this.#nextTry = 0;
    if (!this.isOurs) return;
    this.shelf.watching.goOn();
    for (const item of this.items) if (item.state === "lost") this.again(item);
  }

  /** Takes those from the list that are done with. */
  clear() {
    this.items = this.items.filter((one) => !OVER.has(one.state));
    this.leftOut = 0;
    this.changed();
  }

  /** Nobody is signed in any more, or somebody else. What was kept of uploads in parts stays. */
  end() {
    window.removeEventListener("online", this.online);
    clearTimeout(this.#nextTry);
    for (const item of this.unsent) {
      item.state = "cancelled";
      item.control.abort();
    }
    this.items = [];
    this.changed();
  }

  changed() {
    this.#warn(this.unsent.length > 0);
    this.dispatchEvent(new Event("change"));
  }

  /** Whether those who chose these files are signed in now: nothing is sent as somebody else. */
  get isOurs() {
    return isHere(this.app, this.me);
  }

  #fill() {
    for (const item of this.isOurs ? this.items : []) {
      if (this.#running.size >= FILES_AT_ONCE) break;
      if (item.state === "waiting" && !this.#running.has(item)) this.#run(item);
    }
    this.changed();
  }

  /** @param {Item} item */
  async #run(item) {
    this.#running.add(item);
    const { control } = item;
    try {
      await transfer(item, this);
      this.#wait = FIRST_WAIT_MS;
    } catch (error) {
      if (item.control === control && item.state !== "cancelled") this.#failed(item, error);
    } finally {
      this.#running.delete(item);
      this.#fill();
      if (!this.unsent.length) this.dispatchEvent(new Event("ended"));
    }
  }

  /**
   * @param {Item} item
   * @param {any} error
   */
  #failed(item, error) {
    item.state = isLost(error) ? "lost" : "broken";
    item.error = cause(error);
    if (item.state === "lost" && item.error.status !== 401) this.#later();
  }

  /** Where there is no network at all, the browser says when there is. */
  #later() {
    if (this.#nextTry || !navigator.onLine) return;
    this.#nextTry = window.setTimeout(() => this.goOn(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
  }

  /**
   * A document that was announced for a file that will not come would wait in the list for it.
   * @param {Item} item
   */
  #discard(item) {
    this.kept.forget(item.file);
    if (item.announced) this.discard(item.announced);
    Object.assign(item, { announced: undefined, resume: undefined, sha256: undefined });
  }

  /**
   * What cannot be removed now is by itself, once its form has expired.
   * @param {string} id
   */
  discard(id) {
    this.shelf.listing.remove(id);
    if (this.isOurs) this.app.kb.documents.delete(id).catch(() => this.shelf.listing.isNotGone(id));
  }

  /**
   * A page with a listener is not kept for "back": it has one only while it matters.
   * @param {boolean} wanted
   */
  #warn(wanted) {
    if (wanted === this.#warns) return;
    this.#warns = wanted;
    if (wanted) window.addEventListener("beforeunload", stay);
    else window.removeEventListener("beforeunload", stay);
  }
}

/**
 * Of a folder only what can be taken is, as it holds much that nobody meant.
 * @param {Chosen} chosen
 * @param {import("./rules.js").Refusal|null} refused
 */
function isLeftOut({ path }, refused) {
  const isHidden = path.split("/").some((name) => name.startsWith("."));
  return isHidden || refused?.of === "kind";
}

/** @param {BeforeUnloadEvent} event */
function stay(event) {
  event.preventDefault();
}
