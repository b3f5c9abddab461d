// @ts-check
/** Schemas for people: in words, as rows of fields, and as an example to send. */

import { h } from "../dom.js";
import { resolve } from "./openapi.js";

/** @typedef {import("./openapi.js").OpenApi} OpenApi */
/** @typedef {import("./openapi.js").Schema} Schema */

const DEEPEST = 4;

// What a schema cannot say: a value that makes sense to try.
/** @type {Record<string, unknown>} */
const EXAMPLES = {
  query: "What was decided?",
  content: "What was decided?",
  filename: "report.pdf",
  content_type: "application/pdf",
  size: 1024,
  name: "a key to try",
  scopes: ["documents:list", "query:run"],
  jsonrpc: "2.0",
  id: 1,
  method: "tools/list",
};

/**
 * Text in which what stands between backquotes is code; descriptions from Python have two marks.
 *
 * @param {string} [text]
 * @returns {(Node | string)[]}
 */
export function marked(text = "") {
  return text.split(/`+([^`]+)`+/).map((piece, n) => (n % 2 ? h("code", null, piece) : piece));
}

/**
 * What a value has to be, in words.
 *
 * @param {OpenApi} doc
 * @param {Schema} given
 * @returns {string}
 */
export function words(doc, given) {
  const schema = resolve(doc, given);
  if (schema.anyOf) return schema.anyOf.map((one) => words(doc, one)).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (schema.type === "array") {
    return `list of ${words(doc, schema.items ?? {})}${range(schema.minItems, schema.maxItems)}`;
  }
  const values = schema.additionalProperties;
  if (schema.type === "object" && typeof values === "object" && values.type) {
    return `object of ${words(doc, values)}s`;
  }
  return [schema.type ?? "anything"].flat().join(" or ") + details(schema);
}

/**
 * A row for each field of an object, those of the objects within it under their full names.
 *
 * @param {OpenApi} doc
 * @param {Schema} given
 * @param {string} [prefix]
 * @param {number} [depth]
 * @returns {Node[][]}
 */
export function fields(doc, given, prefix = "", depth = 0) {
  const schema = resolve(doc, given);
  if (schema.type === "array") return fields(doc, schema.items ?? {}, `${prefix}[]`, depth);
  if (schema.anyOf) return schema.anyOf.flatMap((one) => fields(doc, one, prefix, depth));
  if (depth > DEEPEST) return [];
  return Object.entries(schema.properties ?? {}).flatMap(([name, one]) => {
    const path = prefix ? `${prefix}.${name}` : name;
    const optional = (schema.required ?? []).includes(name) ? "" : " (optional)";
    return [
      [h("code", null, path), h("span", { class: "shape" }, words(doc, one) + optional),
       h("span", null, marked(one.description))],
      ...fields(doc, one, path, depth + 1),
    ];
  });
}

/**
 * A value that a schema takes, with the fields that have to be there.
 *
 * @param {OpenApi} doc
 * @param {Schema} given
 * @param {string} [name] of the field
 * @param {number} [depth]
 * @returns {unknown}
 */
export function example(doc, given, name = "", depth = 0) {
  const schema = resolve(doc, given);
  if (schema.const !== undefined) return schema.const;
  if (schema.examples?.length) return schema.examples[0];
  if (name in EXAMPLES && fits(schema, EXAMPLES[name])) return EXAMPLES[name];
  if (schema.anyOf) return example(doc, schema.anyOf[0] ?? {}, name, depth);
  if (schema.enum) return schema.enum.includes("user") ? "user" : schema.enum[0];
  if (depth > DEEPEST) return null;
  return byType(doc, schema, name, depth);
}

/**
 * The fields of an object that may be left out, each with an example.
 *
 * @param {OpenApi} doc
 * @param {Schema} given
 * @returns {[string, unknown][]}
 */
export function optionalFields(doc, given) {
  const schema = resolve(doc, given);
  const all = Object.entries(schema.properties ?? {});
  return all
    .filter(([name, one]) => !(schema.required ?? []).includes(name) && one.type !== "null")
    .map(([name, one]) => [name, example(doc, one, name)]);
}

/**
 * @param {OpenApi} doc
 * @param {Schema} schema
 * @param {string} name
 * @param {number} depth
 * @returns {unknown}
 */
function byType(doc, schema, name, depth) {
  const type = [schema.type].flat()[0];
  if (type === "array") return [example(doc, schema.items ?? {}, name, depth + 1)];
  if (type === "integer" || type === "number") return schema.minimum ?? 1;
  if (type === "boolean") return schema.default ?? true;
  if (type === "null") return null;
  if (type !== "object") return schema.default ?? "…";
  return Object.fromEntries((schema.required ?? []).map((field) =>
    [field, example(doc, (schema.properties ?? {})[field] ?? {}, field, depth + 1)]));
}

/**
 * @param {Schema} schema
 * @param {unknown} value
 * @returns {boolean}
 */
function fits(schema, value) {
  if (schema.anyOf) return schema.anyOf.some((one) => fits(one, value));
  if (schema.enum) return schema.enum.includes(value);
  const type = Array.isArray(value) ? "array" : typeof value === "number" ? "integer" : typeof value;
  return [schema.type ?? type].flat().includes(type);
}

/** @param {Schema} schema */
function details(schema) {
  return range(schema.minLength, schema.maxLength, " characters")
    + range(schema.minimum ?? schema.exclusiveMinimum, schema.maximum)
    + (schema.format ? `, ${schema.format}` : "")
    + (tells(schema.pattern) ? `, matching ${schema.pattern}` : "")
    + (schema.examples ? `, such as ${schema.examples.join(", ")}` : "");
}

/**
 * A long pattern is for programs, and that no text holds NUL is said once for all.
 *
 * @param {string} [pattern]
 */
function tells(pattern) {
  return pattern !== undefined && pattern.length < 90 && pattern !== "^[^\\u0000]*$";
}

/**
 * @param {number} [low]
 * @param {number} [high]
 * @param {string} [unit]
 */
function range(low, high, unit = "") {
  if (low === undefined && high === undefined) return "";
  if (high === undefined) return `, at least ${low}${unit}`;
  return low === undefined ? `, at most ${high}${unit}` : `, ${low} to ${high}${unit}`;
}
