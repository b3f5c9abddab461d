// @ts-check
// Where files are dropped or chosen, and how far each of them is.

import { h, replace } from "../dom.js";
import { bytes, plural } from "../format.js";
import { fromDrop, fromInput } from "./documents/chosen_files.js";
import { nameElement } from "./documents/names.js";
import { arrived } from "./documents/kept.js";
import { soon } from "./documents/soon.js";
import { UploadRow } from "./documents/upload_row.js";
import { percent } from "./documents/words.js";

/** @typedef {import("./documents/queue.js").Uploads} Uploads */
/** @typedef {import("./documents/queue.js").Item} Item */

const ALWAYS_SHOWN = new Set(["checking", "sending", "lost", "broken", "failed", "refused"]);
// Of those that wait, and of those that are done, more would tell nobody more.
const MOST_OTHERS = 20;

/**
 * The part of the Documents screen that uploads.
 * @param {any} app
 * @param {Uploads} uploads
 * @returns {{element: HTMLElement, stop: () => void}}
 */
export function uploadsPanel(app, uploads) {
  const list = new UploadList(uploads);
  const interrupted = h("div", { class: "stack" });
  const refresh = soon(() => {
    list.update();
    replace(interrupted, interruptedBefore(uploads));
  });
  uploads.addEventListener("change", refresh);
  uploads.goOn();
  refresh.now();
  return {
    element: h("div", { class: "stack" }, dropZone(app, uploads), interrupted, list.element),
    stop: () => uploads.removeEventListener("change", refresh),
  };
}

// --- choosing ---------------------------------------------------------------------------------------

/**
 * @param {any} app
 * @param {Uploads} uploads
 */
function dropZone(app, uploads) {
  const add = async (/** @type {Promise<import("./documents/chosen_files.js").Chosen[]>} */ chosen) => {
    try {
      const before = uploads.items.length;
      await uploads.add(await chosen);
      app.announce(`${plural(uploads.items.length - before, "file", "files")} chosen.`);
    } catch (error) {
      app.failed(error);
    }
  };
  const files = picker({ multiple: true, "aria-label": "Files to upload" }, add);
  const folder = picker({ webkitdirectory: true, "aria-label": "Folder to upload" }, add);
  const zone = h(
    "section",
    { class: "drop-zone", "aria-label": "Upload" },
    h("p", {}, h("strong", {}, "Drop files or a folder here"), h("span", { class: "muted" }, " or")),
    h("button", { class: "button primary", type: "button", onclick: () => files.click() }, "Choose files"),
    h("button", { class: "button", type: "button", onclick: () => folder.click() }, "Choose a folder"),
    files,
    folder,
  );
  takesDrops(zone, add);
  return zone;
}

/**
 * @param {Record<string, any>} properties
 * @param {(chosen: Promise<any>) => void} add
 */
function picker(properties, add) {
  const input = h("input", { type: "file", hidden: true, tabindex: "-1", ...properties });
  input.addEventListener("change", () => {
    add(Promise.resolve(fromInput(input.files ?? [])));
    // The same file chosen again is to be told again.
    input.value = "";
  });
  return input;
}

/**
 * @param {HTMLElement} zone
 * @param {(chosen: Promise<any>) => void} add
 */
function takesDrops(zone, add) {
  const over = (/** @type {DragEvent} */ event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    zone.classList.add("over");
  };
  const leave = (/** @type {DragEvent} */ event) => {
    if (!zone.contains(/** @type {Node|null} */ (event.relatedTarget))) zone.classList.remove("over");
  };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", leave);
  zone.addEventListener("drop", (event) => {
    if (!event.dataTransfer) return;
    event.preventDefault();
    zone.classList.remove("over");
    add(fromDrop(event.dataTransfer));
  });
}

// --- what a page that was left had not finished -----------------------------------------------------

/** @param {Uploads} uploads */
function interruptedBefore(uploads) {
  const here = new Set(uploads.items.map((one) => one.resume?.document_id));
  const left = Object.values(uploads.kept.all()).filter(({ state }) => !here.has(state.document_id));
  if (!left.length) return null;
  return h(
    "section",
    { class: "card stack", "aria-label": "Interrupted uploads" },
    h("p", {}, "The page was left while these were sent. Choose the same file again, and it goes on."),
    h("ul", { class: "upload-list" }, left.map((one) => interruptedRow(uploads, one))),
  );
}

/**
 * @param {Uploads} uploads
 * @param {import("./documents/kept.js").Kept} kept
 */
function interruptedRow(uploads, kept) {
  const forget = () => {
    uploads.kept.forget({ name: kept.filename, size: kept.size });
    uploads.discard(kept.state.document_id);
    uploads.changed();
  };
  return h(
    "li",
    { class: "upload-row" },
    nameElement(kept.filename),
    h("span", { class: "muted" }, `${percent(arrived(kept))} of ${bytes(kept.size)} sent`),
    h("button", { class: "button small", type: "button", onclick: forget }, "Forget it"),
  );
}

// --- the list ---------------------------------------------------------------------------------------

/** All files that were chosen, with a bar for all. */
class UploadList {
  /** @type {Map<Item, UploadRow>} */
  #rows = new Map();

  /** @param {Uploads} uploads */
  constructor(uploads) {
    this.uploads = uploads;
    this.summary = h("p", { class: "muted" });
    this.bar = h("progress", { class: "bar", max: 1, "aria-label": "All uploads" });
    this.cancel = h("button", { class: "button", type: "button", onclick: () => uploads.cancelAll() }, "Cancel all");
    this.clear = h("button", { class: "button", type: "button", onclick: () => uploads.clear() }, "Clear the list");
    this.list = h("ul", { class: "upload-list" });
    this.more = h("p", { class: "muted" });
    this.element = h(
      "section",
      { class: "card stack", "aria-label": "Uploads" },
      h("div", { class: "row upload-head" }, h("h2", {}, "Uploads"), this.summary, this.cancel, this.clear),
      this.bar,
      this.list,
      this.more,
    );
  }

  update() {
    const { items, unsent, leftOut } = this.uploads;
    this.element.hidden = items.length === 0 && leftOut === 0;
    replace(this.summary, summary(this.uploads));
    const { sent, total } = this.uploads.totals;
    this.bar.hidden = this.cancel.hidden = unsent.length === 0;
    this.bar.value = total ? sent / total : 0;
    this.clear.hidden = unsent.length === items.length && leftOut === 0;
    this.#list(items);
  }

  /** @param {Item[]} items */
  #list(items) {
    const shown = worthShowing(items);
    const rows = shown.map((item) => this.#row(item));
    const nodes = rows.map((row) => row.element);
    // Nothing is moved that may have the focus.
    if (nodes.some((node, i) => this.list.children[i] !== node) || this.list.children.length !== nodes.length) {
      this.list.replaceChildren(...nodes);
    }
    replace(this.more, shown.length < items.length && `${plural(items.length - shown.length, "other file", "other files")} not shown.`);
    for (const item of this.#rows.keys()) if (!shown.includes(item)) this.#rows.delete(item);
  }

  /** @param {Item} item */
  #row(item) {
    const row = this.#rows.get(item) ?? new UploadRow(item, this.uploads);
    this.#rows.set(item, row);
    row.update();
    return row;
  }
}

/** @param {Uploads} uploads */
function summary(uploads) {
  const { items, unsent, leftOut } = uploads;
  const toSend = items.filter((one) => !["refused", "skipped", "cancelled"].includes(one.state)).length;
  const { sent, total } = uploads.totals;
  const left = leftOut ? ` ${plural(leftOut, "file", "files")} of other kinds left out.` : "";
  if (!unsent.length) return `${plural(toSend, "file", "files")}.${left}`;
  return `${toSend - unsent.length} of ${plural(toSend, "file", "files")} sent, ${bytes(sent)} of ${bytes(total)}.${left}`;
}

/**
 * @param {Item[]} items
 * @returns {Item[]}
 */
function worthShowing(items) {
  const others = { waiting: 0, done: 0 };
  return items.filter((item) => {
    if (ALWAYS_SHOWN.has(item.state)) return true;
    others[item.state === "waiting" ? "waiting" : "done"] += 1;
    return others[item.state === "waiting" ? "waiting" : "done"] <= MOST_OTHERS;
  });
}
