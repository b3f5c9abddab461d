// @ts-check
// What the gateway takes, as its OpenAPI document says it, so that a file is refused before it is sent.

import { bytes } from "../../format.js";

/**
 * @typedef {object} Rules
 * @property {RegExp|null} filename
 * @property {number} largest in bytes
 * @property {string[]} types
 */

/** @typedef {{of: "name"|"kind"|"size", words: string}} Refusal */

const NOTHING_KNOWN = { filename: null, largest: Infinity, types: [] };
const MOST_NAME_BYTES = 255;
// Control characters, separators of lines and paragraphs, and what turns a text's direction.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069/\\]/;
/** @type {Record<string, string>} */
const IN_WORDS = {
  "application/pdf": "PDF (.pdf)",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word (.docx)",
  "text/html": "HTML (.html, .htm)",
  "text/markdown": "Markdown (.md, .markdown)",
  "text/plain": "plain text (.txt, .text)",
};

/** @type {Promise<Rules>|undefined} */
let asked;

/**
 * Asked once a page. Where the answer cannot be had, nothing is refused here: the gateway does it.
 * @returns {Promise<Rules>}
 */
export function rules() {
  asked ??= read().catch(() => {
    asked = undefined;
    return NOTHING_KNOWN;
  });
  return asked;
}

async function read() {
  const answer = await fetch(new URL("api/v1/openapi.json", document.baseURI));
  if (!answer.ok) throw new Error(`openapi.json, ${answer.status}`);
  return rulesOf(await answer.json());
}

/**
 * @param {any} api an OpenAPI document
 * @returns {Rules}
 */
export function rulesOf(api) {
  const announce = Object.entries(api.paths).find(([path]) => /^\/api\/v\d+\/documents$/.test(path));
  const { content } = /** @type {any} */ (announce)[1].post.requestBody;
  const { properties } = followed(api, content["application/json"].schema);
  const pattern = followed(api, properties.filename).pattern;
  return {
    filename: pattern ? new RegExp(pattern) : null,
    largest: followed(api, properties.size).maximum ?? Infinity,
    types: typesOf(api, properties.content_type),
  };
}

/**
 * A field that may be left out is the type or null.
 * @param {any} api
 * @param {any} schema
 * @returns {string[]}
 */
function typesOf(api, schema) {
  const some = [schema, ...(schema.anyOf ?? [])].map((one) => followed(api, one).examples);
  return some.find(Boolean) ?? [];
}

/**
 * @param {any} api
 * @param {any} schema
 */
function followed(api, schema) {
  let found = schema;
  while (found.$ref) {
    found = found.$ref.slice(2).split("/").reduce((/** @type {any} */ at, /** @type {string} */ key) => at[key], api);
  }
  return found;
}

/**
 * Why a file would be refused, in words; null where nothing is known against it.
 * @param {{name: string, size: number}} file
 * @param {Rules} allowed
 * @returns {Refusal|null}
 */
export function refusal(file, allowed) {
  return nameFault(file.name) ?? kindFault(file.name, allowed) ?? sizeFault(file.size, allowed);
}

/**
 * @param {string} name
 * @returns {Refusal|null}
 */
function nameFault(name) {
  const of = "name";
  if (UNSAFE.test(name)) {
    return { of, words: "Its name has characters that are not shown, or that turn the direction of text. Rename it first." };
  }
  if (new TextEncoder().encode(name).length > MOST_NAME_BYTES) {
    return { of, words: `Its name is too long: at most ${MOST_NAME_BYTES} bytes, of which letters beyond A to Z take two or more.` };
  }
  return name === name.trim() ? null : { of, words: "Its name begins or ends with a space. Rename it first." };
}

/**
 * @param {string} name
 * @param {Rules} allowed
 * @returns {Refusal|null}
 */
function kindFault(name, allowed) {
  if (!allowed.filename || allowed.filename.test(name)) return null;
  const kinds = allowed.types.map((type) => IN_WORDS[type] ?? type).sort();
  const taken = kinds.length ? ` Taken are ${listed(kinds)}.` : "";
  return { of: "kind", words: `Files of this kind are not taken.${taken}` };
}

/**
 * @param {number} size
 * @param {Rules} allowed
 * @returns {Refusal|null}
 */
function sizeFault(size, allowed) {
  if (size > 0 && size <= allowed.largest) return null;
  const words = `It is too large: ${bytes(size)}, where at most ${bytes(allowed.largest)} are taken.`;
  return { of: "size", words: size === 0 ? "It is empty." : words };
}

/** @param {string[]} words */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
