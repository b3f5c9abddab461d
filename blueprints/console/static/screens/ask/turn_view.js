// @ts-check
// A question and its answer on the screen, while it comes and as it ended.

import { h, replace } from "../../dom.js";
import { number, plural } from "../../format.js";
import { copyButton, words } from "../../problem.js";
import { AnswerView, QUOTING, shown } from "./answer_view.js";
import { goesOn, isLimit, limitWords } from "./limits.js";
import { citedIn, numberButton, sourceLists } from "./sources.js";

/**
 * @typedef {import("./records.js").Turn} Turn
 * @typedef {import("./records.js").Failure} Failure
 * @typedef {{open: (turn: Turn, source: number) => void, again: (turn: Turn) => void}} Actions
 */

/** @type {Record<string, string>} */
const CUT_SHORT = {
  length: "The model reached the longest answer that it may give: this one is cut short.",
  content_filter: "The model's content filter ended this answer.",
};

export class TurnView {
  #isDue = false;
  #restsUntil = 0;
  #cited = "";

  /** @param {Turn} turn @param {Actions} actions */
  constructor(turn, actions) {
    this.turn = turn;
    this.actions = actions;
    this.answer = h("div", { class: "answer" });
    this.sources = h("div", { class: "found" });
    this.ending = h("div", { class: "ending" });
    const number = (/** @type {number} */ source) => numberButton(turn, source, actions.open);
    this.view = new AnswerView(this.answer, number);
    const question = h("h2", { class: "question", dir: "auto" }, shown(turn.question));
    this.element = h("article", { class: "turn" }, question, this.answer, this.ending, this.sources);
    this.show();
  }

  /** Soon, and once for all that comes until then: an answer has more tokens than a screen frames. */
  changed() {
    if (this.#isDue) return;
    this.#isDue = true;
    const wait = this.#restsUntil - performance.now();
    const next = () => requestAnimationFrame(() => this.#isDue && this.show());
    if (wait > 0) setTimeout(next, wait);
    else next();
  }

  /** Now. */
  show() {
    this.#isDue = false;
    const began = performance.now();
    const { turn } = this;
    const isComing = turn.state === "asking" || turn.state === "streaming";
    this.element.className = `turn ${turn.state}`;
    this.answer.setAttribute("aria-busy", String(isComing));
    this.view.show(turn);
    this.#showSources();
    if (isComing) replace(this.ending, turn.text ? null : h("p", { class: "muted waiting" }, waiting(turn)));
    else replace(this.ending, endingOf(turn, this.actions.again));
    // A long answer is shown less often, so that the page has two thirds of its time for its reader.
    this.#restsUntil = performance.now() + 2 * (performance.now() - began);
  }

  #showSources() {
    const now = JSON.stringify([this.turn.state, this.turn.sources.length, citedIn(this.turn)]);
    if (now === this.#cited) return;
    this.#cited = now;
    replace(this.sources, sourceLists(this.turn, this.actions.open));
  }
}

/** @param {Turn} turn */
function waiting({ state, sources }) {
  if (state === "asking") return "Looking for passages…";
  if (sources.length === 0) return "Writing…";
  return `Found ${plural(sources.length, "passage")}, writing…`;
}

/** @param {Turn} turn @param {(turn: Turn) => void} again */
function endingOf(turn, again) {
  if (turn.state === "done") return done(turn);
  const askAgain = () => again(turn);
  if (turn.state === "stopped") return stopped(turn, askAgain);
  const failure = turn.failure ?? { code: "", name: "AnswerIncomplete", message: "" };
  return isLimit(failure) ? limited(failure, askAgain) : broken(turn, failure, askAgain);
}

/** @param {Turn} turn */
function done(turn) {
  const cut = CUT_SHORT[turn.finishReason ?? ""];
  return [
    !turn.text && h("p", { class: "muted" }, "The answer has no text."),
    cut && h("p", null, h("span", { class: "badge bad" }, "Cut short"), " ", cut),
    h("p", { class: "muted facts" }, facts(turn).join(" · "), copyButton(turn.text, "Copy answer")),
  ];
}

/** @param {Turn} turn What the answer cost, and who wrote it. */
function facts({ model, usage, sources }) {
  const quoting = sources.length > 0 ? ["quoted from the documents"] : [];
  const writer = model ? [shown(model)] : [];
  const tokens = usage
    ? [`${number(usage.prompt_tokens)} tokens read, ${number(usage.completion_tokens)} written`] : [];
  return [...(model === QUOTING ? quoting : writer), ...tokens];
}

/** @param {Turn} turn @param {() => void} again */
function stopped(turn, again) {
  const told = turn.text ? "You stopped this answer: what is here is a part of it." : "You stopped this before it was answered.";
  return h(
    "div",
    { class: "row" },
    h("span", { class: "badge busy" }, "Stopped"),
    h("span", { class: "muted" }, told),
    againButton(again),
  );
}

/** @param {Turn} turn @param {Failure} failure @param {() => void} again */
function broken(turn, failure, again) {
  const lead = turn.text ? "Incomplete" : "No answer";
  // What a connection that just ended is told of says so itself.
  const told = turn.text && failure.code ? " What is here is a part of the answer." : "";
  return h(
    "div",
    { class: "problem" },
    h("p", null, h("span", { class: "badge bad" }, lead), " ", words(failure), told),
    failure.goesOnAt !== undefined && h("p", null, goesOn(failure, Date.now())),
    reference(turn, failure),
    h("p", null, againButton(again)),
  );
}

/** @param {Turn} turn @param {Failure} failure What somebody who can help asks for. */
function reference({ requestId }, { code }) {
  return h(
    "p",
    { class: "reference muted" },
    code && h("code", null, code),
    requestId && [" request ", h("code", null, requestId), " ", copyButton(requestId, "Copy request id")],
  );
}

/** @param {Failure} failure @param {() => void} again */
function limited(failure, again) {
  const when = h("p", null, goesOn(failure, Date.now()));
  const button = againButton(again);
  const left = (failure.goesOnAt ?? 0) - Date.now();
  if (left > 0) {
    button.disabled = true;
    // No browser waits longer than that with a timer; who waits for days loads the page anew.
    setTimeout(() => {
      button.disabled = false;
      replace(when, goesOn(failure, Date.now()));
    }, Math.min(left, 2 ** 31 - 1));
  }
  const badge = h("span", { class: "badge busy" }, "Limit reached");
  return h("div", { class: "problem limit" }, h("p", null, badge, " ", limitWords(failure)), when, h("p", null, button));
}

/** @param {() => void} again */
function againButton(again) {
  return h("button", { class: "button", type: "button", onclick: again }, "Ask again");
}
