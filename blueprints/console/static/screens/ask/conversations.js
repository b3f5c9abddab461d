// @ts-check
// Conversations, kept in this tab's session and nowhere else. They are whose they are: another
// user who signs in here does not find them.

import { whose } from "../../session.js";

/** @typedef {import("./records.js").Conversation} Conversation */

export const PREFIX = "kb-console:conversation:";
export const MOST = 20;
// Browsers keep some five million characters for all of an origin's session.
export const CONVERSATION_LIMIT = 400_000;

export class Conversations {
  #storage;
  #prefix;

  /**
   * @param {{tenant: string, subject: string}} me
   * @param {Storage} storage
   */
  constructor(me, storage = ofThisTab()) {
    this.#storage = storage;
    this.#prefix = `${PREFIX}${whose(me)}/`;
    for (const key of this.#keys(PREFIX)) {
      if (!key.startsWith(this.#prefix)) storage.removeItem(key);
    }
  }

  /** @returns {Conversation[]} the latest first. */
  list() {
    const found = this.#keys(this.#prefix).map((key) => this.#read(key));
    return found.filter((one) => one !== null).sort((a, b) => (a.at < b.at ? 1 : -1));
  }

  /** @param {string} id @returns {Conversation | null} */
  load(id) {
    return this.#read(this.#prefix + id);
  }

  /**
   * Keeps it as it is now; the oldest others make room.
   *
   * @param {Conversation} conversation
   * @returns {boolean} false where the browser has no room for it at all
   */
  save(conversation) {
    const text = fitted(conversation);
    const others = this.list().filter((one) => one.id !== conversation.id);
    while (others.length >= MOST) this.delete(others.pop()?.id ?? "");
    while (!this.#write(conversation.id, text)) {
      const oldest = others.pop();
      if (!oldest) return false;
      this.delete(oldest.id);
    }
    return true;
  }

  /** @param {string} id Whether it is kept: at a sign-out all are forgotten. */
  has(id) {
    return this.#storage.getItem(this.#prefix + id) !== null;
  }

  /** @param {string} id */
  delete(id) {
    this.#storage.removeItem(this.#prefix + id);
  }

  /** @param {string} prefix */
  #keys(prefix) {
    const storage = this.#storage;
    const keys = Array.from({ length: storage.length }, (_, n) => storage.key(n) ?? "");
    return keys.filter((key) => key.startsWith(prefix));
  }

  /** @param {string} key @returns {Conversation | null} */
  #read(key) {
    try {
      return JSON.parse(this.#storage.getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {string} id @param {string} text */
  #write(id, text) {
    try {
      this.#storage.setItem(this.#prefix + id, text);
      return true;
    } catch {
      return false;
    }
  }
}

/**
 * As JSON of a bounded length: the oldest answers lose their passages' texts first, which are in
 * the documents, and then themselves.
 *
 * @param {Conversation} conversation
 */
export function fitted(conversation) {
  let text = JSON.stringify(conversation);
  const turns = [...conversation.turns];
  while (text.length > CONVERSATION_LIMIT && turns.length > 0) {
    const full = turns.findIndex(({ sources }) => sources.some((source) => source.text));
    if (full >= 0) turns[full] = withoutTexts(turns[full]);
    else turns.shift();
    text = JSON.stringify({ ...conversation, turns });
  }
  return text;
}

/** @param {import("./records.js").Turn} turn */
function withoutTexts(turn) {
  const sources = turn.sources.map((source) => ({ ...source, text: "", truncated: true }));
  return { ...turn, sources };
}

/** This tab's session, or memory where the browser keeps none. */
export function ofThisTab() {
  try {
    return window.sessionStorage;
  } catch {
    return MEMORY;
  }
}

/** @implements {Storage} */
class InMemory {
  /** @type {Map<string, string>} */
  #kept = new Map();
  get length() { return this.#kept.size; }
  clear() { this.#kept.clear(); }
  /** @param {string} key */
  getItem(key) { return this.#kept.get(key) ?? null; }
  /** @param {number} index */
  key(index) { return [...this.#kept.keys()][index] ?? null; }
  /** @param {string} key */
  removeItem(key) { this.#kept.delete(key); }
  /** @param {string} key @param {string} value */
  setItem(key, value) { this.#kept.set(key, value); }
}

const MEMORY = new InMemory();
