// @ts-check
/** An error in words, with what somebody needs to report it or to try again. */

import { h, replace } from "./dom.js";
import { duration } from "./format.js";

/** What the client's errors beside the server's say of themselves is for programmers. */
const WORDS = /** @type {Record<string, string>} */ ({
  NotConnected: "The server cannot be reached. Check your connection.",
  ConnectionBroken: "The connection broke before the answer was there.",
  TimedOut: "The server took too long to answer.",
  ProtocolError: "The server answered in a way that the console does not understand.",
  AnswerIncomplete: "The answer broke off: what is shown is a part of it.",
  UploadInterrupted: "The upload was interrupted.",
});

/**
 * @param {unknown} error
 * @returns {string} one or two sentences
 */
export function words(error) {
  const { name, message, code } = /** @type {any} */ (error ?? {});
  if (code && message) return String(message);
  if (name in WORDS) return WORDS[name];
  return message ? String(message) : "Something went wrong.";
}

/** Whether this is only that somebody left. @param {unknown} error */
export function isLeaving(error) {
  return /** @type {any} */ (error)?.name === "AbortError";
}

/**
 * @param {unknown} error
 * @param {{again?: (() => unknown) | null, title?: string}} [options] `again` is called by "Try again"
 * @returns {HTMLElement}
 */
export function problem(error, { again = null, title = "" } = {}) {
  const { requestId, code, retryAfter } = /** @type {any} */ (error ?? {});
  return h(
    "div",
    { class: "problem", role: "alert" },
    title && h("p", { class: "problem-title" }, title),
    h("p", null, words(error), retryAfter ? ` Try again in ${duration(retryAfter)}.` : ""),
    faults(error),
    (code || requestId) && reference(code, requestId),
    again && h("p", null, h("button", { class: "button", type: "button", onclick: again }, "Try again")),
  );
}

/** Which fields are wrong, and what was expected of each. @param {unknown} error */
function faults(error) {
  const fields = Object.entries(/** @type {any} */ (error)?.details?.fields ?? {});
  return fields.length > 0 && h("ul", { class: "faults" }, fields.map(([name, fault]) => h("li", null, `${name}: ${fault}`)));
}

/** @param {string | undefined} code @param {string | undefined} requestId */
function reference(code, requestId) {
  return h(
    "p",
    { class: "reference muted" },
    code && h("code", null, code),
    requestId && ["request ", h("code", null, requestId), copyButton(requestId, "Copy request id")],
  );
}

/**
 * A button that copies a text, and says that it did.
 *
 * @param {string} text
 * @param {string} label
 * @returns {HTMLButtonElement}
 */
export function copyButton(text, label = "Copy") {
  const button = h("button", { class: "button small", type: "button", onclick: copy }, label);
  async function copy() {
    replace(button, (await copied(text)) ? "Copied" : "Copy it by hand");
    setTimeout(() => replace(button, label), 2000);
  }
  return button;
}

/** @param {string} text */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not over plain HTTP from elsewhere, or not allowed.
    return false;
  }
}
