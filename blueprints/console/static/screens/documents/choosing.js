// @ts-check
// Which documents of those that are loaded are shown, and in which order.

/** @typedef {import("./types.js").Doc} Doc */

/**
 * @typedef {object} View
 * @property {string} find part of a name, in any case
 * @property {string} status one status, or "" for all
 * @property {"created_at"|"filename"|"size"|"status"} by
 * @property {boolean} down
 */

/** @returns {View} */
export function newestFirst() {
  return { find: "", status: "", by: "created_at", down: true };
}

/**
 * Whether the pages that are loaded are enough: the API lists newest first, and knows no other order.
 * @param {View} view
 */
export function needsAll(view) {
  return view.find.trim() !== "" || view.status !== "" || view.by !== "created_at" || !view.down;
}

// Numbers in names count as such: "page 2" stands before "page 10".
const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
/** @type {Record<string, (a: Doc, b: Doc) => number>} */
const ORDERS = {
  created_at: (a, b) => (a.document_id < b.document_id ? -1 : 1),
  filename: (a, b) => names.compare(a.filename, b.filename),
  size: (a, b) => a.size - b.size,
  status: (a, b) => names.compare(a.status, b.status),
};

/**
 * @param {Doc[]} documents
 * @param {View} view
 * @returns {Doc[]}
 */
export function chosen(documents, view) {
  const wanted = folded(view.find.trim());
  const kept = documents.filter(
    (one) => (!view.status || one.status === view.status) && folded(one.filename).includes(wanted),
  );
  const sign = view.down ? -1 : 1;
  const order = ORDERS[view.by];
  return kept.sort((a, b) => sign * order(a, b) || ORDERS.created_at(b, a));
}

/**
 * Letters without case and accents, so that "resume" finds "Résumé".
 * @param {string} text
 */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
