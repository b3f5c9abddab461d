// @ts-check
// An answer for a screen reader: sentence by sentence, politely, and not each of its letters.

import { h, replace } from "../../dom.js";

const END = /[.!?…:;]["'”’»)\]]*\s|[。！？]|\n/g;
const LONGEST = 400;
const MARKS = /[*_`#>|~]+/g;
// So long the sentences stay; later, somebody who reads the page would find the answer twice.
const GONE_AFTER_MS = 20_000;

export class Speaker {
  #said = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  constructor() {
    // A log is read in the order in which lines are added to it, and none is left out.
    this.element = h("div", { class: "visually-hidden", role: "log", "aria-live": "polite", "aria-label": "Answer as it comes" });
  }

  begin() {
    clearTimeout(this.#timer);
    this.#said = 0;
    replace(this.element);
  }

  /** @param {string} text All of the answer so far: its new whole sentences are said. */
  hear(text) {
    const rest = text.slice(this.#said);
    const ends = [...rest.matchAll(END)].map((end) => end.index + end[0].length);
    const whole = ends.pop() ?? (rest.length > LONGEST ? rest.lastIndexOf(" ") + 1 : 0);
    if (whole > 0) this.#say(rest.slice(0, whole));
    this.#said += whole;
  }

  /** @param {string} text @param {string} ending Says what is left, and how the answer ended. */
  end(text, ending) {
    this.#say(text.slice(this.#said));
    this.#say(ending);
    this.#said = text.length;
    this.#timer = setTimeout(() => replace(this.element), GONE_AFTER_MS);
  }

  /** @param {string} text */
  #say(text) {
    const words = text.replace(MARKS, "").trim();
    if (words) this.element.append(h("p", null, words));
  }
}
