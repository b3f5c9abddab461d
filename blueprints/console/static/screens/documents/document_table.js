// @ts-check
// The list of documents: what is found, in order, a stretch at a time.

import { h, replace } from "../../dom.js";
import { number, plural } from "../../format.js";
import { problem } from "../../problem.js";
import { chosen, needsAll } from "./choosing.js";
import { deleteAfterAsking } from "./deleting.js";
import { DocumentRow } from "./document_row.js";

/** @typedef {import("./types.js").Doc} Doc */
/** @typedef {import("./choosing.js").View} View */

const ROWS = 50;
/** @type {[View["by"], string][]} */
const COLUMNS = [["filename", "Name"], ["size", "Size"], ["created_at", "Added"], ["status", "Status"]];

export class DocumentTable {
  /** @type {Map<string, DocumentRow>} */
  #rows = new Map();
  /** @type {Doc[]} */
  #found = [];
  #deleting = "";

  /**
   * @param {any} app
   * @param {import("./shelf.js").OneShelf} shelf
   * @param {{loadMore: () => void, stop: () => void}} does
   */
  constructor(app, shelf, does) {
    this.app = app;
    this.shelf = shelf;
    this.does = does;
    /** @type {any} */
    this.error = null;
    this.heads = new Map(COLUMNS.map(([by, label]) => [by, this.#head(by, label)]));
    this.all = h("input", { type: "checkbox", "aria-label": "Select all that are shown", onchange: () => this.#pickShown() });
    this.body = h("tbody");
    this.table = h(
      "table",
      { class: "table document-list" },
      h("caption", { class: "visually-hidden" }, "Documents"),
      h("thead", {}, h("tr", {}, h("th", { class: "document-box" }, this.all), [...this.heads.values()])),
      this.body,
    );
    this.state = h("p", { class: "muted", role: "status" });
    this.before = button("Newer", () => this.#turn(-ROWS));
    this.after = button("Older", () => this.#turn(ROWS));
    this.stop = button("Stop loading", () => this.does.stop());
    this.foot = h("div", { class: "row" }, this.before, this.after, this.stop);
    this.remove = h("button", { class: "button danger", type: "button", onclick: () => this.#delete() });
    this.empty = h("div");
    this.head = h("div", { class: "row document-head" }, this.state, this.remove);
    this.element = h("div", { class: "stack" }, this.head, this.table, this.empty, this.foot);
  }

  /**
   * @param {View["by"]} by
   * @param {string} label
   */
  #head(by, label) {
    const button = h("button", { class: "sort", type: "button", onclick: () => this.#sort(by) }, label);
    return h("th", { class: `document-${by === "filename" ? "name" : by === "created_at" ? "added" : by}`, scope: "col" }, button);
  }

  /** @param {View["by"]} by */
  #sort(by) {
    const { view } = this.shelf;
    // Names are looked for from A on, all else from the newest or largest on.
    view.down = view.by === by ? !view.down : by === "created_at" || by === "size";
    view.by = by;
    this.#turn(-Infinity);
  }

  /** @param {number} by */
  #turn(by) {
    this.shelf.first = Math.max(0, this.shelf.first + by);
    this.update();
    this.does.loadMore();
  }

  /** Shows it from its beginning, after another choice. */
  restart() {
    this.#turn(-Infinity);
  }

  /** Whether another page is needed for what is shown now. */
  get wantsMore() {
    const { listing, view, first } = this.shelf;
    return !listing.complete && (needsAll(view) || this.#found.length <= first + ROWS);
  }

  update() {
    const { listing, view } = this.shelf;
    this.#found = chosen(listing.documents, view);
    if (this.shelf.first >= this.#found.length) this.shelf.first = Math.max(0, Math.floor((this.#found.length - 1) / ROWS) * ROWS);
    this.#showHeads();
    this.#showRows();
    this.#showFoot();
    this.#showEmpty();
    replace(this.state, this.#words());
    this.#showPicked();
    this.head.hidden = !this.state.textContent && this.remove.hidden;
  }

  get #shown() {
    return this.#found.slice(this.shelf.first, this.shelf.first + ROWS);
  }

  #showHeads() {
    const { by, down } = this.shelf.view;
    for (const [name, head] of this.heads) {
      if (name === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  #showRows() {
    const shown = this.#shown;
    const rows = shown.map((document) => this.#row(document));
    const focused = document.activeElement;
    if (rows.length !== this.body.children.length || rows.some((row, i) => row !== this.body.children[i])) {
      this.body.replaceChildren(...rows);
      // A row that was moved has lost the focus it had.
      if (focused instanceof HTMLElement && this.body.contains(focused)) focused.focus();
    }
    const ids = new Set(shown.map((one) => one.document_id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
  }

  /** @param {Doc} document */
  #row(document) {
    const { document_id: id } = document;
    const { picked } = this.shelf;
    const row = this.#rows.get(id) ?? new DocumentRow(document, (isPicked) => this.#pick(id, isPicked));
    this.#rows.set(id, row);
    row.update(document, picked.has(id));
    if (document.status === "processing") this.shelf.watching.add(id);
    return row.element;
  }

  #showFoot() {
    const { first, listing } = this.shelf;
    const isTurnable = this.#found.length > ROWS || !listing.complete;
    const byDate = this.shelf.view.by === "created_at" && this.shelf.view.down;
    replace(this.before, byDate ? "Newer" : "Previous");
    replace(this.after, byDate ? "Older" : "Next");
    this.before.hidden = this.after.hidden = !isTurnable;
    this.before.disabled = first === 0;
    this.after.disabled = first + ROWS >= this.#found.length && (listing.complete || needsAll(this.shelf.view));
    this.stop.hidden = !(listing.isLoading && needsAll(this.shelf.view));
  }

  #showEmpty() {
    const { listing, view } = this.shelf;
    const isEmpty = this.#found.length === 0;
    this.table.hidden = isEmpty;
    if (this.error) replace(this.empty, problem(this.error, { again: () => this.does.loadMore() }));
    else if (!isEmpty || listing.isLoading || !listing.complete) replace(this.empty);
    else replace(this.empty, h("div", { class: "empty" }, listing.documents.length ? nothingFits(view) : nothingYet(listing)));
  }

  #words() {
    const { listing, view, first } = this.shelf;
    const loaded = listing.documents.length;
    if (!loaded) return listing.isLoading ? "Loading …" : "";
    const to = Math.min(first + ROWS, this.#found.length);
    const shown = this.#found.length ? `${number(first + 1)}–${number(to)} of ${number(this.#found.length)}` : "None";
    if (listing.complete) return needsAll(view) && this.#found.length < loaded ? `${shown} found, of ${plural(loaded, "document", "documents")}` : `${shown} documents`;
    const how = listing.isLoading && needsAll(view) ? "loading all" : "there are more";
    return `${shown}, ${plural(loaded, "document", "documents")} loaded, ${how}`;
  }

  // --- what is picked -------------------------------------------------------------------------------

  /**
   * @param {string} id
   * @param {boolean} isPicked
   */
  #pick(id, isPicked) {
    if (isPicked) this.shelf.picked.add(id);
    else this.shelf.picked.delete(id);
    this.#showPicked();
  }

  #pickShown() {
    for (const { document_id: id } of this.#shown) this.#pick(id, this.all.checked);
    this.update();
  }

  /** Only what is found is deleted: of all else nobody sees that it is picked. */
  get #picked() {
    return this.#found.filter((one) => this.shelf.picked.has(one.document_id));
  }

  #showPicked() {
    const count = this.#picked.length;
    const shown = this.#shown.filter((one) => this.shelf.picked.has(one.document_id)).length;
    this.all.checked = shown > 0 && shown === this.#shown.length;
    this.all.indeterminate = shown > 0 && shown < this.#shown.length;
    this.remove.hidden = count === 0 && !this.#deleting;
    this.remove.disabled = this.#deleting !== "";
    replace(this.remove, this.#deleting || `Delete ${plural(count, "document", "documents")}`);
  }

  async #delete() {
    const documents = this.#picked;
    const moved = (/** @type {number} */ done) => {
      this.#deleting = `Deleting ${number(done)} of ${number(documents.length)}`;
      this.#showPicked();
    };
    try {
      await deleteAfterAsking(this.app, this.shelf.listing, documents, moved);
    } finally {
      this.#deleting = "";
      for (const { document_id: id } of documents) this.shelf.picked.delete(id);
      this.update();
    }
  }
}

/**
 * @param {string} label
 * @param {() => void} onclick
 */
function button(label, onclick) {
  return h("button", { class: "button", type: "button", onclick }, label);
}

/** @param {View} view */
function nothingFits(view) {
  return h("p", {}, view.find.trim() ? `No document's name has “${view.find.trim()}” in it.` : "No document has this status.");
}

/** @param {import("./listing.js").Listing} listing */
function nothingYet(listing) {
  const words = listing.owner ? `${listing.owner} has no documents.` : "No documents yet. Drop some files above, and ask about them in a moment.";
  return h("p", {}, words);
}
