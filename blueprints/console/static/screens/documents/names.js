// @ts-check
// Names of files as they are shown: whatever they hold, they stay within their own line.

import { h } from "../../dom.js";

// What is not seen, or turns the text around it: "exe.txt" may be a "txt.exe".
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** @param {string} name */
export function shownName(name) {
  return name.replace(UNSEEN, "\ufffd");
}

/**
 * Isolated, so that a name in Hebrew turns nothing beside it; broken where it is too long.
 * @param {string} name
 */
export function nameElement(name) {
  return h("bdi", { class: "filename" }, shownName(name));
}
