// @ts-check
/** Which screen an address names, and one screen at a time. */

import { h, replace } from "./dom.js";
import { isLeaving, problem } from "./problem.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Params} Params */
/** @typedef {import("./types").Screen} Screen */

/** Each is a file of its own, `screens/NAME.js` (with `_` for `-`), loaded when it is first opened. */
const SCREENS = ["ask", "documents", "keys", "usage", "health", "account", "sign-in"];
export const FIRST = "#/ask";
export const SIGN_IN = "#/sign-in";

/**
 * `#/documents/019a…?page=3` is the screen `documents` with an id and a query; what names no screen is `null`.
 *
 * @param {string} hash
 * @returns {{name: string, params: Params} | null}
 */
export function place(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name, id = null, ...more] = path.split("/");
  if (!SCREENS.includes(name) || more.length) return null;
  return { name, params: { id: id && decoded(id), query: new URLSearchParams(query) } };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Shows screens in `main`, one at a time. */
export class Router {
  /** @param {HTMLElement} main */
  constructor(main) {
    this._main = main;
    this._leaving = new AbortController();
    /** @type {(() => void) | null} */
    this._after = null;
  }

  /** Aborted when the screen that is shown now is left. */
  get signal() {
    return this._leaving.signal;
  }

  /** Ends the screen that is shown: what it has under way, and what it wants to do at its end. */
  leave() {
    this._leaving.abort();
    this._leaving = new AbortController();
    const after = this._after;
    this._after = null;
    after?.();
  }

  /** @param {string} name @param {Params} params @param {App} app */
  async open(name, params, app) {
    this.leave();
    const { signal } = this;
    const screen = await loaded(name);
    if (signal.aborted) return;
    // A place of its own: what a screen that was left adds late is not seen.
    const inside = h("div", { class: `screen ${name}` });
    replace(this._main, inside);
    await this._show(screen, inside, app, params, signal);
  }

  /** @param {Screen} screen @param {HTMLElement} inside @param {App} app @param {Params} params @param {AbortSignal} signal */
  async _show(screen, inside, app, params, signal) {
    document.title = `${screen.title} · Knowledge base`;
    const watching = focusOnHeading(inside, signal);
    try {
      const after = await screen.show(inside, app, params);
      if (typeof after !== "function") return;
      if (signal.aborted) after();
      else this._after = after;
    } catch (error) {
      if (!signal.aborted && !isLeaving(error)) inside.append(problem(error, { again: () => location.reload() }));
    } finally {
      watching();
    }
  }
}

/**
 * Moves the focus to the screen's heading as soon as it has one: whoever hears the page, or moves by
 * keys, goes on from there. Not where the screen has put it elsewhere.
 *
 * @param {HTMLElement} inside
 * @param {AbortSignal} signal
 * @returns {() => void} the screen is complete: what has no heading by now has none
 */
function focusOnHeading(inside, signal) {
  const focus = () => {
    const heading = inside.querySelector("h1");
    if (!heading || signal.aborted) return;
    observer.disconnect();
    if (inside.contains(document.activeElement)) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  };
  const observer = new MutationObserver(focus);
  observer.observe(inside, { childList: true, subtree: true });
  return () => (focus(), observer.disconnect());
}

/** @param {string} name @returns {Promise<Screen>} */
async function loaded(name) {
  try {
    return await import(`./screens/${name.replaceAll("-", "_")}.js`);
  } catch (error) {
    console.error(error);
    return broken;
  }
}

/** In the place of a screen whose files did not come. @type {Screen} */
const broken = {
  title: "Not loaded",
  async show(main) {
    const title = "This part of the console could not be loaded.";
    replace(main, h("h1", null, "Not loaded"), problem({ name: "NotConnected" }, { title, again: () => location.reload() }));
  },
};
