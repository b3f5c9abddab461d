// @ts-check
/** The events of a stream, one under the other as they come. */

import { h } from "../dom.js";
import { errorShape } from "./error_shape.js";
import { milliseconds, parsed } from "./values.js";

/** @typedef {import("./send.js").StreamEvent} StreamEvent */

// A long answer must not fill the page's memory: the oldest lines go first.
const LINES = 1000;
const LETTERS = 2000;

export class EventList {
  #list = h("ol", null);
  #events = 0;
  #dropped = 0;
  #last = "";
  /** @type {HTMLElement | null} */
  #error = null;

  constructor() {
    // A box that scrolls takes the keyboard's focus; a live region would read each word aloud.
    this.element = h("div",
      { class: "events", tabindex: "0", role: "group", "aria-label": "Events" }, this.#list);
  }

  /**
   * @param {StreamEvent} event
   * @param {number} afterMs
   */
  add(event, afterMs) {
    this.#events += 1;
    this.#last = event.name;
    if (event.name === "error") this.#error = errorShape(parsed(event.data));
    this.#line(event.name === "error" ? "bad" : "", afterMs,
      h("b", null, event.name), h("code", null, ...clipped(event.data)));
  }

  /**
   * @param {number} count
   * @param {number} afterMs
   */
  addComments(count, afterMs) {
    this.#line("comment", afterMs, h("span", null, "comment"),
      h("span", null, count === 1 ? "a sign of life" : `${count} signs of life`));
  }

  /** @returns {string} */
  count() {
    const all = this.#events === 1 ? "1 event" : `${this.#events} events`;
    const shown = this.#dropped ? `, the last ${LINES} lines shown` : "";
    return `${all}${this.#last ? `, the last is ${this.#last}` : ""}${shown}`;
  }

  /** @returns {HTMLElement | null} what an `error` event says, for people */
  error() {
    return this.#error;
  }

  /**
   * @param {string} name
   * @param {number} afterMs
   * @param {...Node} parts
   */
  #line(name, afterMs, ...parts) {
    const box = this.element;
    // Who reads further up is not carried away.
    const follows = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    this.#list.append(h("li", { class: name }, h("time", null, `+${milliseconds(afterMs)}`), ...parts));
    if (this.#list.childElementCount > LINES) {
      this.#list.firstElementChild?.remove();
      this.#dropped += 1;
    }
    if (follows) box.scrollTop = box.scrollHeight;
  }
}

/**
 * @param {string} data
 * @returns {(Node | string)[]}
 */
function clipped(data) {
  if (data.length <= LETTERS) return [data];
  const rest = h("button", { type: "button", class: "button small" }, `all ${data.length} characters`);
  rest.addEventListener("click", () => rest.parentElement?.replaceChildren(data));
  return [`${data.slice(0, LETTERS)} … `, rest];
}
