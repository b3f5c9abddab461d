// @ts-check
/**
 * An element of the page's frame.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element has the id ${id}`);
  return found;
}
