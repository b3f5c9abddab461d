// @ts-check
// The way of one file: read for its SHA-256, compared with what is there, sent, then watched until it is ready.

import { ConnectionBroken, NotConnected, TimedOut, UploadInterrupted } from "../../client/index.js";
import { STATUSES } from "./words.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("./queue.js").Uploads} Uploads */

// With three files at once: as many connections as a browser opens to one store.
const PARTS_AT_ONCE = 2;
const THERE = new Set(["processing", "indexed"]);
const SENT = new Set(["sending", "processing", "ready"]);
const NETWORK = [NotConnected, ConnectionBroken, TimedOut];

/** The file is there already; `found` says which document it is, and how we know. */
class Skipped extends Error {
  /** @param {{words: string, documentId: string|undefined}} found */
  constructor(found) {
    super(found.words);
    this.found = found;
  }
}

/**
 * What stopped an upload, in parts or as a form.
 * @param {any} error
 */
export function cause(error) {
  return error instanceof UploadInterrupted ? error.cause : error;
}

/**
 * Whether it goes on by itself later: when there is a network again, or somebody is signed in again.
 * @param {any} error
 */
export function isLost(error) {
  const why = cause(error);
  return why?.status === 401 || NETWORK.some((kind) => why instanceof kind);
}

/**
 * Throws what stopped it. Once the store has the file, what becomes of it is told later.
 * @param {Item} item
 * @param {Uploads} uploads
 */
export async function transfer(item, uploads) {
  try {
    await send(item, uploads);
  } catch (error) {
    if (!(error instanceof Skipped)) throw error;
    Object.assign(item, { state: "skipped", ...error.found });
  }
  uploads.changed();
}

/**
 * @param {Item} item
 * @param {Uploads} uploads
 */
async function send(item, uploads) {
  item.state = "checking";
  item.resume ??= uploads.kept.get(item.file);
  const { document_id: id } = await uploads.app.kb.documents.upload(item.file, {
    filename: item.file.name,
    resume: item.resume,
    atOnce: PARTS_AT_ONCE,
    signal: item.control.signal,
    ...listeners(item, uploads),
  });
  uploads.kept.forget(item.file);
  item.sent = item.size;
  Object.assign(item, { state: "processing", documentId: id, announced: undefined, resume: undefined });
  follow(item, id, uploads);
}

/**
 * What the client tells of this try. One that was cancelled, or followed by another, changes nothing any more.
 * @param {Item} item
 * @param {Uploads} uploads
 */
function listeners(item, uploads) {
  const { control } = item;
  const isOver = () => item.state === "cancelled" || item.control !== control;
  return {
    onProgress: (/** @type {{read: number, sent: number}} */ { read, sent }) => {
      if (isOver()) return;
      Object.assign(item, { checked: read, sent });
      uploads.changed();
    },
    onDigest: (/** @type {string} */ digest) => compare(digest, item, uploads),
    onAnnounced: (/** @type {string} */ id) => {
      if (!isOver()) item.announced = id;
      else (control.abort(), uploads.discard(id));
    },
    onState: (/** @type {any} */ state) => {
      if (isOver()) return;
      Object.assign(item, { announced: state.document_id, resume: state });
      uploads.kept.keep(item.file, state);
    },
  };
}

/**
 * Throws `Skipped` for bytes that are there, or on their way.
 * @param {string} digest
 * @param {Item} item
 * @param {Uploads} uploads
 */
async function compare(digest, item, uploads) {
  // An upload in parts that goes on is in the list itself.
  if (item.resume?.sha256 !== digest) {
    const there = await stored(digest, item, uploads);
    if (there) throw new Skipped(there);
  }
  const other = uploads.items.find((one) => one !== item && one.sha256 === digest && SENT.has(one.state));
  if (other) {
    throw new Skipped({ words: `The same as ${other.path}, which you chose, too.`, documentId: other.documentId });
  }
  // At once: nothing is awaited between the look at others and this.
  Object.assign(item, { state: "sending", sha256: digest });
}

/**
 * Whoever may not list documents sends everything.
 * @param {string} digest
 * @param {Item} item
 * @param {Uploads} uploads
 */
async function stored(digest, item, uploads) {
  const { app, shelf } = uploads;
  try {
    await shelf.listing.all(item.control.signal);
  } catch (/** @type {any} */ error) {
    if (error.status === 403) return undefined;
    throw error;
  }
  const found = shelf.listing.documents.find((one) => one.sha256 === digest && THERE.has(one.status));
  if (!found || !(await isStillThere(app, shelf.listing, found.document_id))) return undefined;
  return { words: `It is there already, as ${found.filename}.`, documentId: found.document_id };
}

/**
 * The list may be older than a deletion elsewhere.
 * @param {any} app
 * @param {import("./listing.js").Listing} listing
 * @param {string} id
 */
async function isStillThere(app, listing, id) {
  try {
    await app.kb.documents.get(id);
    return true;
  } catch (/** @type {any} */ error) {
    if (error.status !== 404) throw error;
    listing.remove(id);
    return false;
  }
}

/**
 * @param {Item} item
 * @param {string} id
 * @param {Uploads} uploads
 */
function follow(item, id, uploads) {
  uploads.shelf.watching.add(id, (document) => {
    item.document = document;
    if (document.status === "indexed") item.state = "ready";
    if (document.status === "failed" || document.status === "expired") {
      Object.assign(item, { state: "failed", words: document.error ?? STATUSES[document.status].words });
    }
    uploads.changed();
  });
}
