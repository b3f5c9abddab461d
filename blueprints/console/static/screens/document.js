// @ts-check
// One document: all that is known of it, and what can be done with it.

import { h, replace } from "../dom.js";
import { bytes, plural, when } from "../format.js";
import { copyButton, isLeaving, problem } from "../problem.js";
import { deleteAfterAsking } from "./documents/deleting.js";
import { nameElement, shownName } from "./documents/names.js";
import { shelfOf } from "./documents/shelf.js";
import { STATUSES, progressWords, typeWords } from "./documents/words.js";

/** @typedef {import("./documents/types.js").Doc} Doc */
/** @typedef {import("../types").App} App */
/** @typedef {import("../types").Params} Params */

/**
 * @param {HTMLElement} main
 * @param {App} app
 * @param {Params} params
 */
export async function show(main, app, params) {
  const view = new DocumentView(app, String(params.id));
  replace(main, view.element);
  const document = await view.load();
  if (document && params.query.has("passage")) await showPassage(app, params, document);
  return () => view.end();
}

/**
 * The passage that a citation leads to.
 * @param {App} app
 * @param {Params} params
 * @param {Doc} document
 */
async function showPassage(app, params, { filename }) {
  const { openLinked } = await import("./passage.js");
  openLinked(app, params, filename);
}

class DocumentView {
  /**
   * @param {App} app
   * @param {string} id
   */
  constructor(app, id) {
    this.app = app;
    this.id = id;
    this.shelf = shelfOf(app);
    this.heading = h("h1", { tabindex: "-1" }, "Document");
    this.state = h("div", { class: "stack", role: "status" });
    this.body = h("div", { class: "stack" });
    const back = h("a", { href: "#/documents" }, "All documents");
    this.element = h("div", { class: "stack" }, h("p", {}, back), this.heading, this.state, this.body);
    this.changed = () => this.#changed();
  }

  /** @returns {Promise<Doc|null>} */
  async load() {
    const { listing } = this.shelf;
    replace(this.body, h("p", { class: "muted" }, "Loading …"));
    try {
      const found = await this.app.kb.documents.get(this.id, { owner: listing.owner, signal: this.app.signal() });
      this.#begin(found);
      return found;
    } catch (/** @type {any} */ error) {
      if (!isLeaving(error)) this.#failed(error);
      return null;
    }
  }

  /** @param {Doc} found */
  #begin(found) {
    this.#show(found);
    const { listing, watching } = this.shelf;
    listing.addEventListener("change", this.changed);
    if (found.status === "processing") watching.add(this.id, (document) => this.#show(document));
  }

  end() {
    this.shelf.listing.removeEventListener("change", this.changed);
    this.isOver = true;
  }

  #changed() {
    const found = this.shelf.listing.get(this.id);
    if (found && found !== this.shown) this.#show(found);
  }

  /** @param {any} error */
  #failed(error) {
    const isGone = error.status === 404;
    replace(this.heading, isGone ? "No such document" : "Document");
    const words = h("p", {}, "It was deleted, or the address is of somebody else's document.");
    replace(this.body, isGone ? h("div", { class: "empty" }, words) : problem(error, { again: () => this.load() }));
  }

  /** @param {Doc} found */
  #show(found) {
    if (this.isOver) return;
    const wasOver = this.shown && this.shown.status === found.status;
    this.shown = found;
    replace(this.heading, nameElement(found.filename));
    document.title = `${shownName(found.filename)} · Knowledge base`;
    replace(this.state, status(found));
    if (!wasOver) replace(this.body, this.#actions(found), facts(found));
  }

  /** @param {Doc} found */
  #actions(found) {
    const isReady = found.status === "indexed";
    const ask = h("a", { class: "button primary", href: `#/ask?document=${this.id}` }, "Ask about this document");
    const button = (/** @type {string} */ words, /** @type {string} */ kind, /** @type {() => void} */ onclick) =>
      h("button", { class: `button ${kind}`, type: "button", onclick }, words);
    return h(
      "div",
      { class: "row" },
      isReady && !this.shelf.owner && ask,
      isReady && button("Download", "", () => this.#download()),
      button("Delete", "danger", () => this.#delete(found)),
    );
  }

  /** The address works for a minute: it is asked for when it is needed. */
  async #download() {
    const { owner } = this.shelf.listing;
    try {
      const url = await this.app.kb.documents.contentUrl(this.id, { owner, signal: this.app.signal() });
      // The store gives it out as an attachment: the page stays.
      h("a", { href: url, rel: "noreferrer" }).click();
    } catch (error) {
      this.app.failed(error);
    }
  }

  /** @param {Doc} found */
  async #delete(found) {
    if (await deleteAfterAsking(this.app, this.shelf.listing, [found])) this.app.go("#/documents");
  }
}

/**
 * How far it is, and what was wrong with it.
 * @param {Doc} found
 */
function status(found) {
  const bar = h("progress", { class: "bar", max: 1, value: found.progress ?? undefined, "aria-label": "Processing" });
  const warnings = found.warnings ?? [];
  return [
    h("p", {}, h("span", { class: STATUSES[found.status].badge }, progressWords(found))),
    found.status === "processing" && bar,
    found.error && h("div", { class: "problem" }, h("p", {}, found.error)),
    found.status === "expired" && h("p", { class: "muted" }, "It was announced, and its file did not come in time. Upload it again."),
    warnings.length > 0 && warned(warnings),
  ];
}

/** @param {readonly string[]} warnings */
function warned(warnings) {
  return h(
    "section",
    { class: "card", "aria-label": "Warnings" },
    h("h2", {}, "Not all of it could be read"),
    h("ul", {}, warnings.map((one) => h("li", {}, one))),
  );
}

/** @param {Doc} found */
function facts(found) {
  /** @type {[string, any][]} */
  const rows = [
    ["Name", nameElement(found.filename)],
    ["Kind", [typeWords(found.content_type), " ", h("span", { class: "muted mono" }, found.content_type)]],
    ["Size", `${bytes(found.size)} (${plural(found.size, "byte")})`],
    ["Added", when(found.created_at)],
    ["Changed", when(found.updated_at)],
    ["SHA-256", copied(found.sha256, "Copy the SHA-256")],
    ["Id", copied(found.document_id, "Copy the id")],
  ];
  return h("dl", { class: "facts card" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/**
 * @param {string|null|undefined} text
 * @param {string} label
 */
function copied(text, label) {
  if (!text) return h("span", { class: "muted" }, "–");
  return [h("code", { class: "mono wrap" }, text), " ", copyButton(text, label)];
}
