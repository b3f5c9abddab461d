// @ts-check
// Deleting documents, once somebody said that he means it.

import { h } from "../../dom.js";
import { plural } from "../../format.js";
import { words } from "../../problem.js";
import { shownName } from "./names.js";

/** @typedef {import("./types.js").Doc} Doc */
/** @typedef {import("./listing.js").Listing} Listing */

const AT_ONCE = 3;

/**
 * Asks, and deletes.
 * @param {any} app
 * @param {Listing} listing
 * @param {Doc[]} documents
 * @param {(done: number) => void} [moved]
 * @returns {Promise<boolean>} whether all of them are gone
 */
export async function deleteAfterAsking(app, listing, documents, moved = () => {}) {
  if (!documents.length || !(await app.confirm(question(documents)))) return false;
  const failures = await deleteAll(app, listing, documents, moved);
  tell(app, documents.length, failures);
  return failures.length === 0;
}

/** @param {Doc[]} documents */
function question(documents) {
  if (documents.length === 1) {
    const text = "Answers will not use it any more, and its file is removed for good.";
    return { title: `Delete ${shownName(documents[0].filename)}?`, text, action: "Delete", danger: true };
  }
  const all = `Delete ${plural(documents.length, "document", "documents")}`;
  const text = "Answers will not use them any more, and their files are removed for good.";
  return { title: `${all}?`, text, action: all, danger: true };
}

/**
 * @param {any} app
 * @param {Listing} listing
 * @param {Doc[]} documents
 * @param {(done: number) => void} moved
 * @returns {Promise<{document: Doc, error: any}[]>}
 */
async function deleteAll(app, listing, documents, moved) {
  const left = [...documents];
  /** @type {{document: Doc, error: any}[]} */
  const failures = [];
  const work = async () => {
    for (let document = left.shift(); document; document = left.shift()) {
      const error = await deleteOne(app, listing, document.document_id);
      if (error) failures.push({ document, error });
      moved(documents.length - left.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return failures;
}

/**
 * What is not there any more is deleted.
 * @param {any} app
 * @param {Listing} listing
 * @param {string} id
 */
async function deleteOne(app, listing, id) {
  try {
    await app.kb.documents.delete(id, { owner: listing.owner });
  } catch (/** @type {any} */ error) {
    if (error.status !== 404) return error;
  }
  listing.remove(id);
  return null;
}

/**
 * @param {any} app
 * @param {number} wanted
 * @param {{document: Doc, error: any}[]} failures
 */
function tell(app, wanted, failures) {
  const gone = wanted - failures.length;
  if (gone) app.notice(`${plural(gone, "document", "documents")} deleted.`, { kind: "done" });
  if (!failures.length) return;
  const rows = failures.slice(0, 5).map(({ document, error }) => h("li", {}, `${shownName(document.filename)}: ${words(error)}`));
  const text = `${plural(failures.length, "document", "documents")} could not be deleted. Try it again: a deletion goes on where it stopped.`;
  app.notice(h("div", {}, h("p", {}, text), h("ul", {}, rows)), { kind: "error" });
}
