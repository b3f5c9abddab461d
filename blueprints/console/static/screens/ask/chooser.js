// @ts-check
// Which documents are asked about.

import { h, replace } from "../../dom.js";
import { number, plural } from "../../format.js";
import { problem } from "../../problem.js";
import { shown } from "./answer_view.js";

/** @typedef {{id: string, filename: string}} Choice */

// The API takes as many.
export const MOST = 100;
const SHOWN = 200;

/**
 * Asks in a dialog.
 *
 * @param {import("../../types").App} app
 * @param {Choice[]} chosen
 * @returns {Promise<Choice[] | null>} none for all documents, `null` where nothing was changed
 */
export async function chooseDocuments(app, chosen) {
  const chooser = new Chooser(chosen);
  document.body.append(chooser.element);
  chooser.element.showModal();
  // Nobody waits for the rest of a long list once the choice is made.
  const leaving = new AbortController();
  const closed = new Promise((resolve) => chooser.element.addEventListener("close", resolve));
  app.signal().addEventListener("abort", () => chooser.element.close("no"));
  void chooser.load(app.kb, leaving.signal);
  await closed;
  leaving.abort();
  chooser.element.remove();
  return chooser.result();
}

class Chooser {
  /** @type {Choice[]} */
  #documents = [];
  #found = 0;

  /** @param {Choice[]} chosen */
  constructor(chosen) {
    this.chosen = new Map(chosen.map(({ id, filename }) => [id, filename]));
    this.search = h("input", { type: "search", id: "chooser-search", oninput: () => this.#show(), onkeydown: unsent });
    this.list = h("ul", { class: "choices" });
    this.status = h("p", { class: "muted", role: "status" }, "Loading your documents…");
    this.element = this.#dialog();
  }

  #dialog() {
    return h(
      "dialog",
      { class: "dialog chooser", "aria-labelledby": "chooser-title" },
      h("form", { method: "dialog", class: "stack" },
        h("h2", { id: "chooser-title" }, "Ask about"),
        h("div", { class: "field" }, h("label", { for: "chooser-search" }, "Find by name"), this.search),
        this.status,
        this.list,
        h("div", { class: "row end" },
          h("button", { class: "button", value: "no", formnovalidate: true }, "Cancel"),
          h("button", { class: "button", value: "all" }, "All documents"),
          h("button", { class: "button primary", value: "these" }, "Only these"))),
    );
  }

  /** @param {import("../../types").App["kb"]} kb @param {AbortSignal} signal */
  async load(kb, signal) {
    try {
      for await (const one of await kb.documents.list({ signal })) {
        if (signal.aborted) return;
        if (one.status !== "indexed") continue;
        this.#documents.push({ id: one.document_id, filename: one.filename });
      }
      this.#documents.sort((a, b) => a.filename.localeCompare(b.filename));
      this.#show();
    } catch (error) {
      if (!signal.aborted) replace(this.status, problem(error));
    }
  }

  #show() {
    const wanted = this.search.value.trim().toLowerCase();
    const found = this.#documents.filter(({ filename }) => filename.toLowerCase().includes(wanted));
    // What is chosen already comes first, so that it is seen.
    const first = [...found].sort((a, b) => Number(this.chosen.has(b.id)) - Number(this.chosen.has(a.id)));
    replace(this.list, first.slice(0, SHOWN).map((one) => this.#choice(one)));
    this.#found = found.length;
    this.#tell();
  }

  #tell() {
    const found = this.#found;
    const more = found > SHOWN ? ` The first ${SHOWN} are shown: find others by name.` : "";
    const all = this.#documents.length;
    const of = all === 0 ? "None of your documents is indexed yet." : `${number(found)} of ${plural(all, "document")}.`;
    const chosen = this.chosen.size > 0 ? ` ${this.chosen.size} chosen, at most ${MOST}.` : "";
    replace(this.status, of + more + chosen);
    const boxes = /** @type {NodeListOf<HTMLInputElement>} */ (this.list.querySelectorAll("input"));
    for (const box of boxes) box.disabled = !box.checked && this.chosen.size >= MOST;
  }

  /** @param {Choice} one */
  #choice({ id, filename }) {
    const change = (/** @type {Event} */ event) => {
      if (/** @type {HTMLInputElement} */ (event.target).checked) this.chosen.set(id, filename);
      else this.chosen.delete(id);
      this.#tell();
    };
    const box = h("input", { type: "checkbox", checked: this.chosen.has(id), onchange: change });
    return h("li", null, h("label", null, box, h("bdi", null, shown(filename))));
  }

  /** @returns {Choice[] | null} */
  result() {
    const { returnValue } = this.element;
    if (returnValue === "all") return [];
    if (returnValue !== "these") return null;
    return [...this.chosen].map(([id, filename]) => ({ id, filename }));
  }
}

/** @param {KeyboardEvent} event Enter in the search is no choice of a button. */
function unsent(event) {
  if (event.key === "Enter") event.preventDefault();
}
