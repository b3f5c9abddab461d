// @ts-check
// Documents: uploaded, found, deleted.

import { h, replace } from "../dom.js";
import { isLeaving } from "../problem.js";
import { DocumentTable } from "./documents/document_table.js";
import { keepIndicator } from "./documents/indicator.js";
import { shelfOf, uploadsOf } from "./documents/shelf.js";
import { soon } from "./documents/soon.js";
import { STATUSES } from "./documents/words.js";
import { uploadsPanel } from "./uploads.js";

export const title = "Documents";

/**
 * @param {HTMLElement} main
 * @param {any} app
 * @param {{id: string|null, query: URLSearchParams}} params
 */
export async function show(main, app, params) {
  if (params.id) return (await import("./document.js")).show(main, app, params);
  const shelf = shelfOf(app);
  if (!shelf.listing.isFresh) shelf.listing.reset();
  const list = new DocumentList(app, shelf);
  const panel = shelf.owner ? null : uploadsPanel(app, uploadsOf(app));
  keepIndicator(app, uploadsOf(app));
  replace(main, heading(shelf), panel?.element, list.element);
  list.begin();
  return () => {
    panel?.stop();
    list.end();
  };
}

/** @param {import("./documents/shelf.js").OneShelf} shelf */
function heading({ owner }) {
  const words = `Files can be added to your own documents only, not to ${owner}'s.`;
  return [h("h1", { tabindex: "-1" }, owner ? `Documents of ${owner}` : title), owner && h("p", { class: "muted" }, words)];
}

/** The list, and what is looked for in it. */
class DocumentList {
  #stopped = new AbortController();
  // What somebody stopped is not begun again by itself.
  #isHalted = false;
  #isLoading = false;

  /**
   * @param {any} app
   * @param {import("./documents/shelf.js").OneShelf} shelf
   */
  constructor(app, shelf) {
    this.app = app;
    this.shelf = shelf;
    this.table = new DocumentTable(app, shelf, { loadMore: () => this.load(), stop: () => this.#halt() });
    this.changed = soon(() => this.table.update());
    this.element = h("section", { class: "stack", "aria-label": "Documents" }, this.#choices(), this.table.element);
  }

  begin() {
    this.shelf.listing.addEventListener("change", this.changed);
    this.changed.now();
    this.load();
  }

  end() {
    this.shelf.listing.removeEventListener("change", this.changed);
    this.#stopped.abort();
  }

  #halt() {
    this.#isHalted = true;
  }

  /** Loads pages for as long as what is shown needs more. */
  async load() {
    this.#isHalted = false;
    this.table.error = null;
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      while (this.table.wantsMore && !this.#isHalted && !this.#stopped.signal.aborted) {
        await this.shelf.listing.more();
        this.changed.now();
      }
    } catch (error) {
      if (!isLeaving(error)) this.table.error = error;
    } finally {
      this.#isLoading = false;
      this.changed.now();
    }
  }

  // --- what is looked for ---------------------------------------------------------------------------

  #choices() {
    return h("div", { class: "row document-choices" }, this.#find(), this.#status(), this.#refresh());
  }

  #find() {
    const { view } = this.shelf;
    const input = h("input", { type: "search", value: view.find, placeholder: "Part of a name", autocomplete: "off" });
    input.addEventListener("input", () => this.#choose({ find: input.value }));
    return h("label", { class: "field" }, h("span", {}, "Find"), input);
  }

  #status() {
    const { view } = this.shelf;
    const options = [["", "All"], ...Object.entries(STATUSES).map(([status, { words }]) => [status, words])];
    const select = h("select", {}, options.map(([value, words]) => h("option", { value, selected: value === view.status }, words)));
    select.addEventListener("change", () => this.#choose({ status: select.value }));
    return h("label", { class: "field" }, h("span", {}, "Status"), select);
  }

  #refresh() {
    const again = () => {
      this.shelf.listing.reset();
      this.load();
    };
    return h("button", { class: "button", type: "button", onclick: again }, "Refresh");
  }

  /** @param {Partial<import("./documents/choosing.js").View>} choice */
  #choose(choice) {
    Object.assign(this.shelf.view, choice);
    this.table.restart();
  }
}

