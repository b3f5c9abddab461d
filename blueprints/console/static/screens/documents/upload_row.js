// @ts-check
// One file on its way, in a line.

import { h, replace } from "../../dom.js";
import { bytes } from "../../format.js";
import { words as errorWords } from "../../problem.js";
import { nameElement, shownName } from "./names.js";
import { percent, progressWords } from "./words.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("./queue.js").Uploads} Uploads */

/** @type {Record<string, (item: Item) => string>} */
const WORDS = {
  waiting: () => "Waiting",
  checking: (item) => `Reading, ${percent(fraction(item.checked, item.size))}`,
  sending: (item) => `Sending, ${bytes(item.sent)} of ${bytes(item.size)}`,
  lost: lostWords,
  processing: (item) => (item.document ? progressWords(item.document) : "Sent, waits to be processed"),
  ready: (item) => (item.document?.warnings?.length ? "Ready, with warnings" : "Ready"),
  failed: (item) => item.words,
  skipped: (item) => `Skipped. ${item.words}`,
  refused: (item) => `Not sent. ${item.words}`,
  broken: (item) => `Not sent. ${brokenWords(item.error)}`,
  cancelled: () => "Cancelled",
};
/** @type {Record<string, string>} */
const MARKS = { ready: "ok", failed: "bad", refused: "bad", broken: "bad", lost: "busy" };

/** @param {Item} item */
function lostWords(item) {
  const why = item.error?.status === 401 ? "Your session ended." : "The connection was lost.";
  const then = item.resume ? "It goes on where it stopped." : "It will begin again from the start.";
  return `${why} ${then}`;
}

/**
 * What the gateway expected of each field, where it says so.
 * @param {any} error
 */
function brokenWords(error) {
  const fields = Object.entries(error?.details?.fields ?? {});
  if (!fields.length) return errorWords(error);
  return `${fields.map(([name, expected]) => `${name}: ${expected}`).join("; ")}.`;
}

/**
 * @param {number} some
 * @param {number} all
 */
function fraction(some, all) {
  return all ? some / all : 0;
}

/** @type {Record<string, (item: Item) => number|undefined>} */
const BARS = {
  checking: (item) => fraction(item.checked, item.size),
  sending: (item) => fraction(item.sent, item.size),
  lost: (item) => fraction(item.sent, item.size),
  processing: (item) => item.document?.progress ?? undefined,
};

/** @type {Record<string, [string, "cancel"|"again"][]>} */
const ACTIONS = {
  waiting: [["Cancel", "cancel"]],
  checking: [["Cancel", "cancel"]],
  sending: [["Cancel", "cancel"]],
  lost: [["Go on now", "again"], ["Cancel", "cancel"]],
  broken: [["Try again", "again"]],
  cancelled: [["Send it after all", "again"]],
};

export class UploadRow {
  #shown = "";

  /**
   * @param {Item} item
   * @param {Uploads} uploads
   */
  constructor(item, uploads) {
    this.item = item;
    this.uploads = uploads;
    this.name = h("div", { class: "upload-name" });
    this.words = h("div", { class: "upload-words muted" });
    this.bar = h("progress", { class: "bar", max: 1, "aria-label": `${shownName(item.path)}, how far it is` });
    this.actions = h("div", { class: "row" });
    this.element = h("li", { class: "upload-row" }, this.name, this.actions, this.words, this.bar);
  }

  update() {
    const { item } = this;
    replaceText(this.words, WORDS[item.state](item));
    this.#showBar(BARS[item.state]);
    // What can have the focus is made anew only where it must be.
    const state = `${item.state} ${item.documentId}`;
    if (state === this.#shown) return;
    this.#shown = state;
    this.element.dataset.state = item.state;
    this.element.className = `upload-row ${MARKS[item.state] ?? ""}`.trim();
    replace(this.name, this.#name());
    this.#showActions();
  }

  #name() {
    const name = nameElement(this.item.path);
    const id = this.item.documentId;
    return id ? h("a", { href: `#/documents/${id}` }, name) : name;
  }

  /** @param {((item: Item) => number|undefined)|undefined} value */
  #showBar(value) {
    this.bar.hidden = !value;
    const now = value?.(this.item);
    if (now === undefined) this.bar.removeAttribute("value");
    else this.bar.value = now;
  }

  #showActions() {
    const hadFocus = this.actions.contains(document.activeElement);
    const buttons = (ACTIONS[this.item.state] ?? []).map(([label, does]) =>
      h("button", { class: "button small", type: "button", "aria-label": `${label}: ${shownName(this.item.path)}`, onclick: () => this.uploads[does](this.item) }, label),
    );
    replace(this.actions, buttons);
    if (hadFocus) buttons[0]?.focus();
  }
}

/**
 * @param {Element} element
 * @param {string} text
 */
function replaceText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
