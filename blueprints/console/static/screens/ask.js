// @ts-check
// Asking, and reading the answer as it comes.

import { h, replace } from "../dom.js";
import { plural } from "../format.js";
import { Asking } from "./ask/asking.js";
import { Composer } from "./ask/composer.js";
import { Conversations } from "./ask/conversations.js";
import { History, NEW, addressOf } from "./ask/history.js";
import { newConversation, newTurn, titleOf } from "./ask/records.js";
import { citedIn } from "./ask/sources.js";
import { Speaker } from "./ask/speaker.js";
import { TurnView } from "./ask/turn_view.js";

/**
 * @typedef {import("./ask/records.js").Turn} Turn
 * @typedef {import("./ask/records.js").Conversation} Conversation
 */

export const title = "Ask";
// While an answer comes it is kept as often, for whoever loads the page anew.
const KEPT_EVERY_MS = 1000;

/**
 * @param {HTMLElement} main
 * @param {import("../types").App} app
 * @param {import("../types").Params} params
 */
export async function show(main, app, params) {
  const screen = new AskScreen(app, params.query);
  replace(main, screen.element);
  screen.begin();
  return () => screen.leave();
}

class AskScreen {
  /** @type {Asking | null} */
  #asking = null;
  #keptAt = 0;
  #isLeft = false;

  /** @param {import("../types").App} app @param {URLSearchParams} query */
  constructor(app, query) {
    this.app = app;
    this.store = new Conversations(app.me);
    this.conversation = this.#opened(query.get("conversation"), query.get("document"));
    this.speaker = new Speaker();
    this.turns = h("div", { class: "turns" });
    this.empty = h("div", null);
    this.composer = new Composer({
      ask: (question) => void this.#ask(question),
      stop: () => this.#asking?.stop(),
      choose: () => void this.#choose(),
    });
    this.history = new History((one) => void this.#delete(one));
    this.element = this.#layout();
  }

  #layout() {
    const talk = h("div", { class: "talk" }, this.empty, this.turns, this.speaker.element, this.composer.element);
    return h("div", { class: "ask-layout" }, h("h1", null, title), this.history.element, talk);
  }

  /**
   * The conversation of that id, else the latest one, else a new one; about one document, where
   * that is named, a new one.
   *
   * @param {string | null} id
   * @param {string | null} about
   */
  #opened(id, about) {
    if (about) return { ...newConversation(), documents: [{ id: about, filename: "this document" }] };
    if (id === NEW) return newConversation();
    const known = id === null ? this.store.list()[0] : this.store.load(id);
    return known ? asItWasLeft(known) : newConversation();
  }

  begin() {
    window.addEventListener("keydown", this.#key);
    window.addEventListener("pagehide", this.#keep);
    const { turns, documents } = this.conversation;
    replace(this.turns, turns.map((turn) => this.#view(turn).element));
    this.composer.choose(documents);
    this.#nameAddress();
    this.#showHistory();
    void this.#greet();
    void this.#nameDocument();
    this.turns.lastElementChild?.scrollIntoView({ block: "start" });
  }

  leave() {
    this.#isLeft = true;
    window.removeEventListener("keydown", this.#key);
    window.removeEventListener("pagehide", this.#keep);
    this.#asking?.stop();
  }

  /** The address says which conversation it is, so that loading the page anew finds it. */
  #nameAddress() {
    if (this.conversation.turns.length === 0) return;
    history.replaceState(null, "", addressOf(this.conversation.id));
  }

  #showHistory() {
    this.history.show(this.store.list(), this.conversation.id);
  }

  /** Who has no document yet is led to where they are added. */
  async #greet() {
    if (this.conversation.turns.length > 0) return replace(this.empty);
    const words = greeting(await this.#hasDocuments());
    // Somebody who is quick has asked meanwhile.
    if (this.conversation.turns.length === 0) replace(this.empty, words);
  }

  async #hasDocuments() {
    try {
      const page = await this.app.kb.documents.page({ limit: 1, signal: this.app.signal() });
      return page.documents.length > 0;
    } catch {
      // It can be asked all the same, and what is wrong then tells more than it would here.
      return true;
    }
  }

  /** Who asks about one document has come with its id alone. */
  async #nameDocument() {
    const [only] = this.conversation.documents;
    if (this.conversation.turns.length > 0 || !only) return;
    try {
      only.filename = (await this.app.kb.documents.get(only.id, { signal: this.app.signal() })).filename;
    } catch (error) {
      this.conversation.documents = [];
      this.app.failed(error);
    }
    if (!this.#isLeft) this.composer.choose(this.conversation.documents);
  }

  /** @param {KeyboardEvent} event */
  #key = (event) => {
    if (event.key !== "Escape" || !this.#asking || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    this.#asking.stop();
  };

  /** @param {Turn} turn */
  #view(turn) {
    return new TurnView(turn, {
      open: (one, source) => void this.#open(one, source),
      again: (one) => void this.#ask(one.question),
    });
  }

  /** @param {Turn} turn @param {number} source */
  async #open(turn, source) {
    const { openPassage } = await import("./passage.js");
    if (!this.#isLeft) openPassage(this.app, { turn, source });
  }

  /** @param {string} question */
  async #ask(question) {
    if (this.#asking) return this.composer.fill(question);
    const turn = newTurn(question);
    this.#add(turn);
    const view = this.#view(turn);
    this.turns.append(view.element);
    view.element.scrollIntoView({ block: "start" });
    const ended = await this.#run(turn, view);
    this.#finish(turn, view);
    if (ended) this.app.failed(ended);
  }

  /** @param {Turn} turn */
  #add(turn) {
    const { conversation } = this;
    conversation.turns.push(turn);
    conversation.title ||= titleOf(turn.question);
    conversation.at = turn.at;
    if (!this.store.save(conversation)) {
      this.app.notice("This browser has no room to keep this conversation: it is gone when the page is loaded anew.");
    }
    replace(this.empty);
    this.#nameAddress();
    this.#showHistory();
  }

  /** @param {Turn} turn @param {TurnView} view */
  async #run(turn, view) {
    this.#asking = new Asking(this.app.kb, turn, () => {
      view.changed();
      this.speaker.hear(turn.text);
      this.#keepNowAndThen();
    });
    this.speaker.begin();
    this.composer.setBusy(true);
    const { id, documents } = this.conversation;
    const chosen = documents.length > 0 ? { documentIds: documents.map((one) => one.id) } : {};
    return this.#asking.run({ conversationId: id, ...chosen });
  }

  /** @param {Turn} turn @param {TurnView} view */
  #finish(turn, view) {
    this.#asking = null;
    this.#keep();
    if (this.#isLeft) return;
    this.composer.setBusy(false);
    view.show();
    this.speaker.end(turn.text, heardEnding(turn));
  }

  #keepNowAndThen() {
    if (performance.now() - this.#keptAt > KEPT_EVERY_MS) this.#keep();
  }

  /** What was forgotten meanwhile, by a sign-out or a deletion, is not brought back. */
  #keep = () => {
    this.#keptAt = performance.now();
    if (this.store.has(this.conversation.id)) this.store.save(this.conversation);
  };

  async #choose() {
    const { chooseDocuments } = await import("./ask/chooser.js");
    const chosen = await chooseDocuments(this.app, this.conversation.documents);
    if (!chosen || this.#isLeft) return;
    this.conversation.documents = chosen;
    this.composer.choose(chosen);
    this.#keep();
  }

  /** @param {Conversation} one */
  async #delete(one) {
    const text = `“${one.title}”, with ${plural(one.turns.length, "question")} and what was answered.`;
    if (!await this.app.confirm({ title: "Delete this conversation?", text, action: "Delete", danger: true })) return;
    this.store.delete(one.id);
    if (one.id === this.conversation.id) this.app.go(addressOf(NEW));
    else this.#showHistory();
  }
}

/** @param {Conversation} conversation An answer that was coming when the page was left is a part of one. */
function asItWasLeft(conversation) {
  for (const turn of conversation.turns) {
    if (turn.state !== "asking" && turn.state !== "streaming") continue;
    turn.state = "broken";
    turn.failure = { code: "", name: "", message: "The page was left while this answer was coming." };
  }
  return conversation;
}

/** @param {boolean} hasDocuments */
function greeting(hasDocuments) {
  if (hasDocuments) {
    const text = "Answers come from your documents alone, with the passages that they are from.";
    return h("div", { class: "empty" }, h("p", null, "Ask your documents something."), h("p", { class: "muted" }, text));
  }
  return h(
    "div",
    { class: "empty" },
    h("p", null, "There is nothing to ask yet: you have no documents."),
    h("p", null, h("a", { class: "button primary", href: "#/documents" }, "Add documents")),
  );
}

/** @param {Turn} turn */
function heardEnding(turn) {
  if (turn.state === "done") return `The answer is complete. ${plural(citedIn(turn).length, "source")}.`;
  return turn.state === "stopped" ? "The answer was stopped." : "The answer is incomplete.";
}
