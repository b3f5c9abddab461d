// @ts-check
/** A new secret, shown this once. When its dialog is closed, nothing on the page has it any more. */
import { h } from "../../dom.js";

/**
 * Shows `secret` until it is said to be copied; the promise ends when the dialog has.
 * @param {import("../../types").App} app
 * @param {{name: string, secret: string, note: string}} shown
 * @returns {Promise<void>}
 */
export function showSecret(app, { name, secret, note }) {
  const code = h(
    "code",
    // No input: browsers may keep what was in one to fill it in again.
    { class: "secret mono", role: "textbox", "aria-readonly": "true", "aria-label": "Secret", tabindex: "0" },
    secret,
  );
  const copy = h("button", { class: "button primary", type: "button" }, "Copy the key");
  const done = h("button", { class: "button", type: "button" }, "I have stored it");
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "secret-title", "aria-describedby": "secret-warning" },
    h("h2", { id: "secret-title" }, `The key “${name}”`),
    h(
      "p",
      { id: "secret-warning", class: "warning" },
      "Store it now: it is shown this once, and nobody can show it again. ",
      "Whoever has it can do what it is allowed to.",
    ),
    code,
    h("p", { class: "muted" }, note),
    h("div", { class: "row" }, copy, done),
  );
  copy.addEventListener("click", () => copySecret(app, code));
  return untilClosed(dialog, code, done);
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLElement} code
 * @param {HTMLElement} done
 * @returns {Promise<void>}
 */
function untilClosed(dialog, code, done) {
  const forget = () => {
    // The text node is emptied, not only taken off the page: nothing else holds the secret.
    if (code.firstChild) code.firstChild.nodeValue = "";
  };
  // At once: "close" is told some moments after the dialog is closed.
  const leave = () => (forget(), dialog.close());
  // Escape is pressed too easily for what cannot be shown again.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  done.addEventListener("click", leave);
  // A page that is left may be kept whole for "back"; another screen has no business with it.
  addEventListener("pagehide", leave);
  addEventListener("hashchange", leave);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      forget();
      dialog.remove();
      removeEventListener("pagehide", leave);
      removeEventListener("hashchange", leave);
      resolve();
    });
  });
}

/**
 * @param {import("../../types").App} app
 * @param {HTMLElement} code
 */
async function copySecret(app, code) {
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
    app.announce("Copied.");
    flash(code, "Copied");
  } catch {
    // No permission, or a page without TLS: the text is selected, so that Ctrl+C copies it.
    getSelection()?.selectAllChildren(code);
    app.announce("It could not be copied. The key is selected: press Control and C.");
    flash(code, "Selected: press Ctrl+C");
  }
}

/**
 * Says below the secret what became of it; the dialog covers the page's own notices.
 * @param {HTMLElement} code
 * @param {string} text
 */
function flash(code, text) {
  const said = code.nextElementSibling?.matches(".copied") ? code.nextElementSibling : null;
  const line = said ?? h("p", { class: "copied", role: "status" });
  line.textContent = text;
  if (!said) code.after(line);
}
