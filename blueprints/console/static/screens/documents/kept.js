// @ts-check
// How far uploads in parts are, kept for this tab alone, so that a page that is loaded again goes on.

import { whose } from "../../session.js";

// Parts can be sent for six hours; what is older is of no use.
const USEFUL_MS = 6 * 3600 * 1000;

/**
 * @typedef {object} Kept
 * @property {string} filename
 * @property {number} size in bytes
 * @property {any} state the client's, for `resume`
 * @property {number} at when it was kept
 */

/** One user's unfinished uploads, each by its file's name and size. */
export class KeptStates {
  /** @param {{tenant: string, subject: string}} me */
  constructor(me) {
    this.name = `kb.uploads.${whose(me)}`;
  }

  /** @returns {Record<string, Kept>} */
  all() {
    /** @type {Record<string, Kept>} */
    const found = parsed(sessionStorage.getItem(this.name));
    const useful = Object.entries(found).filter(([, kept]) => Date.now() - kept.at < USEFUL_MS);
    return Object.fromEntries(useful);
  }

  /**
   * What to go on with, if this file was begun before. Whether it still is that file the client finds out.
   * @param {File} file
   */
  get(file) {
    return this.all()[keyOf(file)]?.state;
  }

  /**
   * Where there is no room the upload goes on all the same.
   * @param {File} file
   * @param {any} state
   */
  keep(file, state) {
    const { name: filename, size } = file;
    this.#write({ ...this.all(), [keyOf(file)]: { filename, size, state, at: Date.now() } });
  }

  /** @param {{name: string, size: number}} file */
  forget(file) {
    const { [keyOf(file)]: _, ...others } = this.all();
    this.#write(others);
  }

  /** @param {Record<string, Kept>} all */
  #write(all) {
    try {
      if (Object.keys(all).length) sessionStorage.setItem(this.name, JSON.stringify(all));
      else sessionStorage.removeItem(this.name);
    } catch {
      // Full, or switched off.
    }
  }
}

/** @param {{name: string, size: number}} file */
function keyOf({ name, size }) {
  return `${size} ${name}`;
}

/** @param {string|null} text */
function parsed(text) {
  try {
    return JSON.parse(text ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/**
 * How much of an upload in parts has arrived, 0 to 1.
 * @param {Kept} kept
 */
export function arrived({ state, size }) {
  const numbers = Object.keys(state.etags ?? {}).map(Number);
  const sizes = numbers.map((n) => Math.min(state.part_size, size - (n - 1) * state.part_size));
  return size ? sizes.reduce((sum, one) => sum + one, 0) / size : 0;
}
