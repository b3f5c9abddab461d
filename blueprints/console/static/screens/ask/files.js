// @ts-check
// The document behind a passage, opened in the browser.

import { h } from "../../dom.js";

// What browsers show by themselves, and run nothing of. A Markdown file is shown as its text.
/** @type {Record<string, string>} */
const SHOWN = {
  pdf: "application/pdf",
  txt: "text/plain;charset=utf-8",
  md: "text/plain;charset=utf-8",
};
// Long enough for a viewer that has begun to read it.
const HELD_MS = 60_000;

/**
 * Opens a document in a tab of its own, a PDF at `page`. The store gives every file out as a
 * download, so that none of them runs there: what can be shown is opened from memory instead, and
 * the rest is downloaded. Throws what the client throws.
 *
 * @param {import("../../types").App} app
 * @param {{document_id: string, filename: string, page?: number}} which
 */
export async function openFile(app, { document_id, filename, page }) {
  const signal = app.signal();
  const address = await app.kb.documents.contentUrl(document_id, { signal });
  const type = SHOWN[filename.split(".").pop()?.toLowerCase() ?? ""];
  if (!type) return h("a", { href: address, rel: "noopener noreferrer" }).click();
  const held = URL.createObjectURL(await fetched(address, type, signal));
  const place = type === SHOWN.pdf && page ? `#page=${page}` : "";
  h("a", { href: held + place, target: "_blank", rel: "noopener" }).click();
  setTimeout(() => URL.revokeObjectURL(held), HELD_MS);
}

/** @param {string} address @param {string} type @param {AbortSignal} signal */
async function fetched(address, type, signal) {
  const answer = await fetch(address, { credentials: "omit", signal }).catch((error) => {
    // A browser does not tell why a request came to nothing.
    if (error instanceof TypeError) throw new Error("The object store cannot be reached.");
    throw error;
  });
  if (!answer.ok) throw new Error("The object store does not give out the file. Try again.");
  return new Blob([await answer.arrayBuffer()], { type });
}
