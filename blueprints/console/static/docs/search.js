// @ts-check
/** Finding an operation by what is said of it. */

import { replace } from "../dom.js";
import { byId } from "./by_id.js";

/**
 * @typedef {object} Findable
 * @property {HTMLElement} element
 * @property {string} text what is looked at
 */

/**
 * Shows of the operations those with all words, and of the parts those with an operation left.
 *
 * @param {{element: HTMLElement, operations: Findable[]}[]} parts
 */
export function searchIn(parts) {
  const field = /** @type {HTMLInputElement} */ (byId("search"));
  field.addEventListener("input", () => show(parts, field.value));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || writes(event.target)) return;
    event.preventDefault();
    field.focus();
  });
}

/**
 * @param {{element: HTMLElement, operations: Findable[]}[]} parts
 * @param {string} asked
 */
function show(parts, asked) {
  const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const part of parts) {
    const hits = part.operations.filter((one) => shown(one, words)).length;
    part.element.hidden = hits === 0;
    found += hits;
  }
  replace(byId("found"), words.length ? `${found} found` : "");
}

/**
 * @param {Findable} operation
 * @param {string[]} words
 */
function shown(operation, words) {
  const hit = words.every((word) => operation.text.includes(word));
  operation.element.hidden = !hit;
  return hit;
}

/** @param {EventTarget | null} target */
function writes(target) {
  return target instanceof Element && target.matches("input, textarea, select");
}
