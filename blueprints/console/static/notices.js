// @ts-check
/** What the console says beside its screens: notices, questions to confirm, words for screen readers. */

import { h, replace } from "./dom.js";

/** How long a notice that asks for nothing stays. */
const SHOWN_MS = 8000;

/** @typedef {{kind?: "info" | "done" | "error", action?: {label: string, run: () => unknown}}} NoticeOptions */

/**
 * A notice below the head of the page. Errors stay until somebody closes them, as do notices with
 * something to do; others go by themselves, unless the pointer or the focus is on them.
 *
 * @param {string | Node} text
 * @param {NoticeOptions} [options]
 * @returns {() => void} takes it away
 */
export function notice(text, { kind = "info", action } = {}) {
  const close = () => box.remove();
  const box = h(
    "div",
    { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    h("div", { class: "notice-text" }, text),
    action && h("button", { class: "button small", type: "button", onclick: () => (close(), action.run()) }, action.label),
    h("button", { class: "close", type: "button", "aria-label": "Close this notice", onclick: close }, "×"),
  );
  region().append(box);
  if (kind !== "error" && !action) closeLater(box, close);
  return close;
}

/** @param {HTMLElement} box @param {() => void} close */
function closeLater(box, close) {
  const isUsed = () => box.matches(":hover, :focus-within");
  const timer = setInterval(() => !isUsed() && (clearInterval(timer), close()), SHOWN_MS);
}

function region() {
  return /** @type {HTMLElement} */ (document.querySelector(".notices"));
}

/** Takes all notices away. */
export function clearNotices() {
  replace(region());
}

/** Says `text` to screen readers when they have time for it. @param {string} text */
export function announce(text) {
  const place = /** @type {HTMLElement} */ (document.querySelector("#announcements"));
  // The same text twice is heard twice only where it was gone between.
  replace(place);
  requestAnimationFrame(() => replace(place, text));
}

/**
 * Asks whether something is to be done.
 *
 * @param {{title: string, text?: string | Node, action: string, danger?: boolean}} asked
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text = "", action, danger = false }) {
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "dialog-title" },
    h(
      "form",
      { method: "dialog", class: "stack" },
      h("h2", { id: "dialog-title" }, title),
      text && h("p", null, text),
      h(
        "div",
        { class: "row end" },
        h("button", { class: "button", value: "no", autofocus: true }, "Cancel"),
        h("button", { class: `button ${danger ? "danger" : "primary"}`, value: "yes" }, action),
      ),
    ),
  );
  document.body.append(dialog);
  // What is asked belongs to a screen, and to whoever is signed in.
  const leave = () => dialog.close("no");
  addEventListener("hashchange", leave);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      removeEventListener("hashchange", leave);
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}
