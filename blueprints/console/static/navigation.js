// @ts-check
/** The head of the page: the parts of the console, who is signed in, light and dark. */

import { h, replace } from "./dom.js";

/** @typedef {import("./types").Me} Me */

export const PARTS = /** @type {const} */ ([
  ["ask", "Ask"],
  ["documents", "Documents"],
  ["keys", "API keys"],
  ["usage", "Usage"],
  ["health", "Health"],
]);

const THEME = "kb.theme";
const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };

/** Shows where one is. @param {string} name of the screen, `""` for none of the parts @param {boolean} signedIn */
export function showParts(name, signedIn) {
  const nav = /** @type {HTMLElement} */ (document.querySelector(".top nav"));
  nav.hidden = !signedIn;
  replace(nav, PARTS.map(([part, label]) => h("a", { href: `#/${part}`, "aria-current": part === name && "page" }, label)));
  // On a phone the parts are a strip that may begin to the left of the screen.
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

/** Who is signed in, and the way out. @param {Me | null} me @param {() => void} signOut */
export function showAccount(me, signOut) {
  const account = /** @type {HTMLElement} */ (document.querySelector(".account"));
  const name = me && (me.name ?? me.subject);
  replace(
    account,
    themeChoice(),
    me && h("a", { class: "who", href: "#/account", title: `${me.subject} of ${me.tenant}: ${me.roles.join(", ")}` }, name),
    me && h("button", { class: "button small", type: "button", onclick: signOut }, "Sign out"),
  );
}

function themeChoice() {
  const options = Object.entries(THEMES).map(([value, label]) =>
    h("option", { value, selected: value === theme() }, label),
  );
  const select = h("select", { class: "theme", "aria-label": "Colours", title: "Colours: as the system has them, light or dark", onchange: () => setTheme(select.value) }, options);
  return select;
}

function theme() {
  const kept = localStorage.getItem(THEME) ?? "auto";
  return kept in THEMES ? kept : "auto";
}

/** @param {string} value */
function setTheme(value) {
  localStorage.setItem(THEME, value);
  applyTheme();
}

/** The colours that were chosen here before, if any were: all that `localStorage` is used for. */
export function applyTheme() {
  const chosen = theme();
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
