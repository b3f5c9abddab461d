// @ts-check
// Where a question is written: Enter asks, Shift+Enter begins a line, Escape stops.

import { h, replace } from "../../dom.js";
import { number, plural } from "../../format.js";

export const LONGEST = 8192;

/**
 * @typedef {{ask: (question: string) => void, stop: () => void, choose: () => void}} Actions
 */

export class Composer {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.busy = false;
    this.field = h("textarea", {
      id: "question", rows: 2, required: true, placeholder: "What do you want to know?",
      "aria-describedby": "question-keys", dir: "auto",
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      oninput: () => this.#count(),
    });
    this.length = h("span", { class: "length", role: "status" });
    this.choice = h("button", { class: "button small", type: "button", onclick: actions.choose });
    this.button = h("button", { class: "button primary", type: "submit" }, "Ask");
    this.element = this.#form();
    this.choose([]);
  }

  #form() {
    const keys = "Enter asks, Shift+Enter begins a line, Escape stops.";
    return h(
      "form",
      { class: "composer card", onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
      h("label", { for: "question", class: "visually-hidden" }, "Question"),
      this.field,
      h("div", { class: "row" },
        this.choice, this.length,
        h("span", { id: "question-keys", class: "muted keys" }, keys),
        this.button),
    );
  }

  /** @param {boolean} busy Whether an answer is under way, which the same button stops. */
  setBusy(busy) {
    this.busy = busy;
    this.button.className = busy ? "button" : "button primary";
    replace(this.button, busy ? "Stop" : "Ask");
  }

  /** @param {{id: string, filename: string}[]} documents those that are asked; none means all */
  choose(documents) {
    const [first] = documents;
    const of = documents.length === 1 ? first.filename : plural(documents.length, "document");
    replace(this.choice, "In: ", h("bdi", null, documents.length === 0 ? "all documents" : of));
  }

  /** @param {string} question */
  fill(question) {
    this.field.value = question;
    this.#count();
    this.field.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // Enter also ends the choice of a letter where letters are composed.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.busy) this.element.requestSubmit(this.button);
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (this.busy) return this.actions.stop();
    const question = this.field.value.trim();
    if (!question || this.#over() > 0) return;
    this.field.value = "";
    this.#count();
    this.actions.ask(question);
  }

  #over() {
    // The API counts characters; JavaScript counts those beyond the first plane twice.
    return [...this.field.value.trim()].length - LONGEST;
  }

  #count() {
    const over = this.field.value.length > LONGEST - 500 ? this.#over() : -LONGEST;
    const left = over > 0 ? `${number(over)} too many` : over > -500 ? `${number(-over)} left` : "";
    replace(this.length, left && `Characters: ${left}`);
    this.field.setAttribute("aria-invalid", String(over > 0));
    this.field.setCustomValidity(over > 0 ? `At most ${number(LONGEST)} characters.` : "");
  }
}
