// @ts-check
// The conversations of this tab: open one, begin one, delete one.

import { h, replace } from "../../dom.js";
import { plural, when } from "../../format.js";

/** @typedef {import("./records.js").Conversation} Conversation */

export const NEW = "new";

/** @param {string} id */
export function addressOf(id) {
  return `#/ask?conversation=${id}`;
}

export class History {
  /** @param {(conversation: Conversation) => void} remove */
  constructor(remove) {
    this.remove = remove;
    this.list = h("ul", { class: "conversations" });
    this.summary = h("summary", null, "Conversations");
    const begin = h("a", { class: "button", href: addressOf(NEW) }, "New conversation");
    const about = h("p", { class: "muted" }, "Kept in this tab until you sign out or close it.");
    this.details = h("details", { open: window.matchMedia("(min-width: 60rem)").matches }, this.summary, begin, this.list, about);
    this.element = h("aside", { class: "history", "aria-label": "Conversations" }, this.details);
  }

  /** @param {Conversation[]} conversations @param {string} current */
  show(conversations, current) {
    replace(this.summary, `Conversations (${conversations.length})`);
    replace(this.list, conversations.map((one) => this.#entry(one, one.id === current)));
  }

  /** @param {Conversation} one @param {boolean} isCurrent */
  #entry(one, isCurrent) {
    const name = one.title || "New conversation";
    const remove = () => this.remove(one);
    return h(
      "li",
      null,
      h("a", { href: addressOf(one.id), "aria-current": isCurrent && "page" },
        h("bdi", { class: "name" }, name),
        h("span", { class: "muted" }, plural(one.turns.length, "question"), ", ", when(one.at))),
      h("button", { class: "button small", type: "button", "aria-label": `Delete “${name}”`, onclick: remove }, "Delete"),
    );
  }
}
