// @ts-check
/** Signing in: with a name and a password, or at the company's provider where that is on. */

import { h, replace } from "../dom.js";
import { problem } from "../problem.js";

export const title = "Sign in";

/**
 * @param {HTMLElement} main
 * @param {any} app the app, with what is the sign-in's alone
 */
export async function show(main, app) {
  const reason = app.reason();
  replace(
    main,
    h(
      "div",
      { class: "sign-in-box" },
      h("h1", null, "Sign in"),
      reason && h("p", { class: "notice info", id: "reason" }, reason),
      app.company && companySignIn(app.companyAddress),
      passwordForm(app),
    ),
  );
  // Who hears the page is told the reason with the first thing that there is to do.
  const first = /** @type {HTMLElement} */ (main.querySelector("a.button, input"));
  if (reason) first.setAttribute("aria-describedby", "reason");
  first.focus();
}

/** @param {string} address */
function companySignIn(address) {
  return [
    h("a", { class: "button primary wide", href: address }, "Sign in with your company's account"),
    h("p", { class: "or muted" }, "or"),
  ];
}

/** @param {any} app */
function passwordForm(app) {
  const username = field("Name", { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", maxlength: 64 });
  const password = field("Password", { name: "password", type: "password", autocomplete: "current-password", maxlength: 1024 });
  const button = h("button", { class: app.company ? "button wide" : "button primary wide" }, "Sign in");
  const wrong = h("div", null);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    await attempt(app, { username: username.input, password: password.input, button, wrong });
  };
  return h("form", { class: "stack", onsubmit: submit }, username.label, password.label, wrong, button);
}

/** @param {string} label @param {Record<string, any>} attributes */
function field(label, attributes) {
  const input = h("input", { required: true, ...attributes });
  return { input, label: h("label", { class: "field" }, h("span", null, label), input) };
}

/**
 * @param {any} app
 * @param {{username: HTMLInputElement, password: HTMLInputElement, button: HTMLButtonElement, wrong: HTMLElement}} form
 */
async function attempt(app, { username, password, button, wrong }) {
  replace(wrong);
  button.disabled = true;
  try {
    await app.signIn(username.value.trim(), password.value);
  } catch (error) {
    const known = /** @type {any} */ (error)?.code === "INVALID_CREDENTIALS";
    replace(wrong, known ? refused() : problem(error));
    if (known) password.select();
  } finally {
    button.disabled = false;
  }
}

function refused() {
  return h("p", { class: "problem", role: "alert" }, "Name or password is wrong.");
}
