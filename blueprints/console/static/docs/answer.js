// @ts-check
/** What came of a call: its head, its body or its events, and how it ended. */

import { h, replace } from "../dom.js";
import { bytes } from "../format.js";
import { copyButton } from "../problem.js";
import { errorShape } from "./error_shape.js";
import { EventList } from "./event_list.js";
import { nextStep } from "./next_step.js";
import { isStream, SHOWN_BYTES } from "./send.js";
import { milliseconds, parsed, pretty } from "./values.js";

/** @typedef {import("./send.js").StreamEvent} StreamEvent */

/**
 * Watches a call and shows it. What is told to screen readers is the head and the end, not each
 * event.
 */
export class Answer {
  #status = h("p", { class: "status", role: "status" });
  #head = h("div", null);
  #body = h("div", null);
  /** @type {EventList | null} */
  #events = null;
  /** @type {Response | null} */
  #response = null;

  /** @param {(token: string) => void} useToken for a login's answer */
  constructor(useToken) {
    this.useToken = useToken;
    this.element = h("div", { class: "answer", role: "group", "aria-label": "Answer" },
      this.#status, this.#head, this.#body);
    replace(this.#status, "Sent; waiting for the answer …");
  }

  /**
   * @param {Response} response
   * @param {number} afterMs
   */
  onHead(response, afterMs) {
    this.#response = response;
    const ok = response.ok || response.status === 304 || response.type === "opaqueredirect";
    const words = response.status ? `${response.status} ${response.statusText}` : "A redirect";
    replace(this.#status,
      h("b", { class: ok ? "badge ok" : "badge bad" }, words.trim()),
      ` head after ${milliseconds(afterMs)}`);
    replace(this.#head, headers(response));
    if (isStream(response)) this.#expectEvents();
    if (response.type === "opaqueredirect") replace(this.#body, REDIRECT);
  }

  /**
   * @param {StreamEvent} event
   * @param {number} afterMs
   */
  onEvent(event, afterMs) {
    this.#events?.add(event, afterMs);
  }

  /**
   * @param {number} count
   * @param {number} afterMs
   */
  onComment(count, afterMs) {
    this.#events?.addComments(count, afterMs);
  }

  /**
   * @param {Uint8Array} content
   * @param {boolean} whole
   */
  onBody(content, whole) {
    const type = this.#response?.headers.get("Content-Type") ?? "";
    if (!content.length) return;
    this.#status.append(`, ${bytes(content.length)}${whole ? "" : " and more"}`);
    replace(this.#body, shown(content, type, this.useToken));
    if (!whole) this.#body.append(h("p", null, `Only the first ${bytes(SHOWN_BYTES)} are shown.`));
  }

  /** @param {number} afterMs */
  onEnd(afterMs) {
    if (!this.#events) return;
    this.#status.append(`; ended after ${milliseconds(afterMs)}: ${this.#events.count()}`);
    const error = this.#events.error();
    if (error) this.#body.prepend(error);
  }

  /** What came of it before the reader stopped it stays. */
  onStop() {
    const came = this.#events ? `: ${this.#events.count()}` : "";
    this.#status.append(h("b", { class: "badge bad" }, "Stopped"), ` by you${came}`);
  }

  /** @param {Error} error of the browser, which does not say more */
  onFailure(error) {
    if (this.#response) {
      this.#status.append(h("b", { class: "badge bad" }, "Broken off"),
        ` What came is not the whole answer (${error.message}).`);
    } else {
      replace(this.#status, h("b", { class: "badge bad" }, "No answer"),
        ` The browser could not send this, or was not answered (${error.message}).`);
    }
  }

  #expectEvents() {
    this.#events = new EventList();
    replace(this.#body, this.#events.element);
  }
}

const REDIRECT = "The gateway leads elsewhere, by a Location that browsers do not let a page read: "
  + "with redirect=false, where that is taken, the address comes in the body, and curl -i shows it.";

/** @param {Response} response */
function headers(response) {
  const all = [...response.headers];
  if (!all.length) return null;
  const id = response.headers.get("X-Request-ID");
  return h("details", { class: "headers" },
    h("summary", null, `${all.length} headers`, id && h("span", { class: "quiet" }, ` request ${id}`)),
    h("table", { class: "fields" }, h("tbody", null, all.map(([name, value]) =>
      h("tr", null, h("th", { scope: "row" }, h("code", null, name)), h("td", null, h("code", null, value)))))));
}

/**
 * @param {Uint8Array} content
 * @param {string} type
 * @param {(token: string) => void} useToken
 */
function shown(content, type, useToken) {
  if (!/json|text|xml/.test(type)) return h("p", null, `${bytes(content.length)} of ${type || "no type"}.`);
  const text = new TextDecoder().decode(content);
  const value = type.includes("json") ? parsed(text) : undefined;
  const told = value === undefined ? text : pretty(value);
  return h("div", null,
    errorShape(value),
    nextStep(value, useToken),
    h("div", { class: "copied" }, copyButton(told),
      h("pre", { tabindex: "0", role: "group", "aria-label": "Body" }, told)));
}
