// @ts-check
// One document, as a row of the list.

import { h, replace } from "../../dom.js";
import { bytes, plural, when } from "../../format.js";
import { nameElement, shownName } from "./names.js";
import { STATUSES, progressWords } from "./words.js";

/** @typedef {import("./types.js").Doc} Doc */

export class DocumentRow {
  /** @type {Doc|undefined} */
  #shown = undefined;

  /**
   * @param {Doc} document
   * @param {(picked: boolean) => void} pick
   */
  constructor(document, pick) {
    const name = shownName(document.filename);
    this.box = h("input", { type: "checkbox", "aria-label": `Select ${name}`, onchange: () => pick(this.box.checked) });
    this.status = h("td", { class: "document-status" });
    const link = h("a", { href: `#/documents/${document.document_id}` }, nameElement(document.filename));
    this.element = h(
      "tr",
      {},
      h("td", { class: "document-box" }, this.box),
      h("td", { class: "document-name" }, link),
      h("td", { class: "document-size" }, bytes(document.size)),
      h("td", { class: "document-added" }, when(document.created_at)),
      this.status,
    );
  }

  /**
   * @param {Doc} document
   * @param {boolean} picked
   */
  update(document, picked) {
    this.box.checked = picked;
    if (document === this.#shown) return;
    this.#shown = document;
    replace(this.status, statusOf(document));
  }
}

/**
 * A badge, and beside it what is to be known.
 * @param {Doc} document
 */
export function statusOf(document) {
  const { badge } = STATUSES[document.status];
  const warnings = document.warnings?.length ?? 0;
  const more = document.error ?? (warnings ? plural(warnings, "warning", "warnings") : "");
  return [h("span", { class: badge }, progressWords(document)), more && h("span", { class: "muted document-more" }, more)];
}
