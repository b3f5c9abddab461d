// @ts-check
// One question on its way: what the answer's events and its ending make of its record.

import { take } from "./records.js";

/**
 * @typedef {import("./records.js").Turn} Turn
 * @typedef {import("./records.js").Failure} Failure
 * @typedef {{conversationId: string, documentIds?: string[]}} Options
 */

// Of these it is told where the person can do something about it: at the sign-in.
const SIGNED_OUT = ["UNAUTHENTICATED", "TOKEN_EXPIRED", "CREDENTIAL_REVOKED"];

export class Asking {
  #leaving = new AbortController();
  #stopped = false;

  /**
   * @param {import("../../types").App["kb"]} kb
   * @param {Turn} turn
   * @param {() => void} changed called after each event
   */
  constructor(kb, turn, changed) {
    this.kb = kb;
    this.turn = turn;
    this.changed = changed;
  }

  /** Closes the connection, by which the core stops, too. What was told stays. */
  stop() {
    this.#stopped = true;
    this.#leaving.abort();
  }

  /**
   * Asks, and reads the answer to its end, whichever that is: the record says.
   *
   * @param {Options} options
   * @returns {Promise<unknown>} an error that ends the session, else `null`
   */
  async run(options) {
    const { turn } = this;
    let stream;
    try {
      stream = this.kb.ask(turn.question, { ...options, signal: this.#leaving.signal });
      for await (const told of stream) {
        turn.requestId ??= stream.requestId ?? undefined;
        take(turn, told);
        this.changed();
      }
      if (turn.state !== "done") turn.state = this.#stopped ? "stopped" : "broken";
      return null;
    } catch (error) {
      turn.requestId ??= stream?.requestId ?? undefined;
      return this.#failed(error);
    }
  }

  /** @param {any} error */
  #failed(error) {
    const { turn } = this;
    if (this.#stopped) {
      turn.state = "stopped";
      return null;
    }
    turn.state = "broken";
    turn.requestId = error?.requestId ?? turn.requestId;
    turn.failure = failureOf(error);
    return SIGNED_OUT.includes(turn.failure.code) ? error : null;
  }
}

/** @param {any} error @param {number} now @returns {Failure} */
export function failureOf(error, now = Date.now()) {
  const { name, code, message, status, details } = error ?? {};
  const failure = { name, code: code ?? "", message: String(message ?? ""), status, details };
  const after = error?.retryAfter;
  return Number.isFinite(after) ? { ...failure, goesOnAt: now + after * 1000 } : failure;
}
