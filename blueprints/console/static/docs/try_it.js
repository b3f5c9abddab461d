// @ts-check
/** An operation to try: its form, the same call for curl, and what was answered. */

import { h, replace } from "../dom.js";
import { copyButton } from "../problem.js";
import { Answer } from "./answer.js";
import { callOf, curl } from "./call.js";
import { CallForm } from "./form.js";
import { send } from "./send.js";

/** @typedef {import("./openapi.js").OpenApi} OpenApi */
/** @typedef {import("./openapi.js").Route} Route */
/** @typedef {import("./credential.js").Credential} Credential */

/**
 * @param {OpenApi} doc
 * @param {Route} route
 * @param {Credential} credential
 * @returns {HTMLElement}
 */
export function tryIt(doc, route, credential) {
  const sendable = !("101" in route.operation.responses);
  return h("div", { class: "try" }, h("h3", null, "Try it"),
    sendable ? new Trial(doc, route, credential).elements : h("p", null, SOCKET));
}

const SOCKET = "This becomes a WebSocket, which no form can try: docs/websocket.md has a page's few "
  + "lines for it.";

class Trial {
  /** @type {AbortController | null} */
  #running = null;
  #line = h("div", { class: "copied" });
  #withToken = h("input", { type: "checkbox", onchange: () => this.#show() });
  #send = h("button", { type: "submit", class: "button primary" }, "Send");
  #stop = h("button",
    { type: "button", class: "button", disabled: true, onclick: () => this.#running?.abort() }, "Stop");
  #answer = h("div", null);
  #who = h("a", { class: "quiet", href: "#token" });

  /**
   * @param {OpenApi} doc
   * @param {Route} route
   * @param {Credential} credential
   */
  constructor(doc, route, credential) {
    this.route = route;
    this.credential = credential;
    this.form = new CallForm(doc, route);
    this.needed = route.operation.security.length > 0;
    this.elements = [this.#fields(), this.#curl(), this.#answer];
    credential.onChange(() => this.#show());
    this.#show();
  }

  #fields() {
    return h("form", {
      onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); this.#run(); },
      oninput: () => this.#show(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    }, this.form.elements, h("div", { class: "row" }, this.#send, this.#stop, this.needed && this.#who));
  }

  #curl() {
    return h("div", { class: "curl" }, this.#line,
      this.needed && h("label", { class: "check" }, this.#withToken, " with my token in it"));
  }

  #call() {
    return callOf(this.route, this.form.filled());
  }

  #text() {
    const token = this.#withToken.checked ? this.credential.token ?? "$TOKEN" : "$TOKEN";
    return curl(this.#call(), location.origin, this.needed ? token : null);
  }

  #show() {
    const text = this.#text();
    replace(this.#line, copyButton(text), h("pre",
      { tabindex: "0", role: "group", "aria-label": "The same call for curl" }, text));
    replace(this.#who, this.credential.words);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    /** @type {HTMLFormElement} */ (event.currentTarget).requestSubmit();
  }

  async #run() {
    if (this.#running) return;
    const running = this.#running = new AbortController();
    const answer = new Answer((token) => this.credential.use(token));
    this.#busy(true);
    replace(this.#answer, answer.element);
    try {
      const { token, cookies } = this.credential;
      answer.onEnd(await send(this.#call(), this.needed ? token : null, this.needed && cookies,
        running.signal, answer));
    } catch (error) {
      if (running.signal.aborted) answer.onStop();
      else answer.onFailure(/** @type {Error} */ (error));
    } finally {
      this.#running = null;
      this.#busy(false);
    }
  }

  /** @param {boolean} busy */
  #busy(busy) {
    // A button that is disabled loses the focus, which goes to the one that can be pressed now.
    const focused = document.activeElement === (busy ? this.#send : this.#stop);
    this.#send.disabled = busy;
    this.#stop.disabled = !busy;
    if (focused) (busy ? this.#stop : this.#send).focus();
  }
}
