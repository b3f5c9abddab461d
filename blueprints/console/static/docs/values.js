// @ts-check
/** Values as people read them. */

/** @param {number} ms "132 ms", "12.3 s" */
export function milliseconds(ms) {
  return ms < 10000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {unknown} value JSON on several lines */
export function pretty(value) {
  return JSON.stringify(value, null, 2);
}

/**
 * @param {string} text
 * @returns {any} `undefined` where it is no JSON
 */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
