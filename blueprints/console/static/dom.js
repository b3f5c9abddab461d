// @ts-check
/** Elements, made without HTML: what comes from documents or from users is always text. */

/** @typedef {import("./types").Child} Child */

/**
 * A new element.
 *
 * Properties: `class`; `dataset` (an object); `onclick` and the like are listeners, called with the
 * event; `value`, `checked` and others that an element has only as properties are set as those; all
 * else are attributes, of which `true` is an empty one and `false`, `null`, `undefined` are none.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any> | null} [properties]
 * @param {...Child} children texts, numbers and nodes; lists of them; what is false or null is left out
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) set(element, name, value);
  element.append(...nodes(children));
  return element;
}

const AS_PROPERTY = new Set(["value", "checked", "selected", "indeterminate", "files"]);

/** @param {HTMLElement} element @param {string} name @param {any} value */
function set(element, name, value) {
  if (value === false || value === null || value === undefined) return;
  if (name === "dataset") Object.assign(element.dataset, value);
  else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (AS_PROPERTY.has(name)) /** @type {any} */ (element)[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function nodes(children) {
  return /** @type {any[]} */ (children).flat(Infinity).flatMap((child) => {
    if (child === false || child === null || child === undefined) return [];
    return [child instanceof Node ? child : String(child)];
  });
}

/** Puts `children` in the place of all that `parent` holds. @param {Element} parent @param {...Child} children */
export function replace(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/** Empties `parent`. @param {Element} parent */
export function clear(parent) {
  parent.replaceChildren();
}
