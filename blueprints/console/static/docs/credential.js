// @ts-check
/** Who asks: a token, kept in this page's memory alone, or a browser's company session. */

import { h, replace } from "../dom.js";
import { Session } from "../session.js";
import { byId } from "./by_id.js";

/** @typedef {import("./openapi.js").OpenApi} OpenApi */

/** What calls are sent with. */
export class Credential {
  // No password field: a browser would offer to keep what is in it.
  #field = h("input", {
    id: "token", class: "masked", type: "text", autocomplete: "off", spellcheck: "false",
    autocapitalize: "off", oninput: () => this.#changed(),
  });
  #cookies = h("input", { type: "checkbox", onchange: () => this.#changed() });
  /** @type {(() => void)[]} */
  #listeners = [];

  /** @param {OpenApi} doc */
  constructor(doc) {
    this.hasSessions = "session" in doc.components.securitySchemes;
  }

  /** @returns {string | null} */
  get token() {
    const text = this.#field.value.trim().replace(/^bearer\s+/i, "");
    return text && !this.cookies ? text : null;
  }

  /** Whether the browser's own cookies say who asks. */
  get cookies() {
    return this.#cookies.checked;
  }

  /** What is said of it beside a button that sends. */
  get words() {
    if (this.cookies) return "With the company sign-in of this browser";
    return this.token ? "With the token above" : "Without a token";
  }

  /** @param {string} token */
  use(token) {
    this.#field.value = token;
    this.#cookies.checked = false;
    this.#changed();
  }

  /** @param {() => void} listener told whenever it is another one */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  #changed() {
    this.#listeners.forEach((listener) => listener());
  }

  /** Puts the fields into their place. */
  show() {
    replace(byId("credential"),
      h("label", { for: "token" }, "Token or API key"),
      h("div", { class: "row" }, this.#field, this.#shown(), this.#ofConsole(), this.#forget()),
      this.hasSessions && h("label", { class: "check" }, this.#cookies,
        " Ask with the company sign-in of this browser instead"),
      h("p", { class: "quiet" },
        "Kept in this page's memory alone: gone when it is closed or loaded again."));
  }

  #shown() {
    const button = h("button", { type: "button", class: "button", "aria-pressed": "false" }, "Show");
    button.addEventListener("click", () => {
      const masked = this.#field.classList.toggle("masked");
      button.setAttribute("aria-pressed", String(!masked));
    });
    return button;
  }

  #ofConsole() {
    const token = consoleToken();
    if (token === null) return null;
    return h("button", { type: "button", class: "button", onclick: () => this.use(token) }, "Take the console's");
  }

  #forget() {
    return h("button", { type: "button", class: "button", onclick: () => this.use("") }, "Forget");
  }
}

/** @returns {string | null} the token of the console's session in this tab, if there is one */
function consoleToken() {
  try {
    return new Session().token;
  } catch {
    // A browser that keeps nothing for pages throws where it is asked for it.
    return null;
  }
}
