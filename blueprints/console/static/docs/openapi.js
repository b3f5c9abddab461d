// @ts-check
/** The OpenAPI document: its shapes, and its operations in the order in which they are shown. */

/**
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string | string[]} [type]
 * @property {string} [description]
 * @property {Schema[]} [anyOf]
 * @property {unknown[]} [enum]
 * @property {unknown} [const]
 * @property {unknown[]} [examples]
 * @property {unknown} [default]
 * @property {Schema} [items]
 * @property {Record<string, Schema>} [properties]
 * @property {boolean | Schema} [additionalProperties]
 * @property {string[]} [required]
 * @property {string} [format]
 * @property {string} [pattern]
 * @property {number} [minItems]
 * @property {number} [maxItems]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {number} [minimum]
 * @property {number} [exclusiveMinimum]
 * @property {number} [maximum]
 */

/** @typedef {Record<string, {schema: Schema}>} Content */

/**
 * @typedef {object} Parameter
 * @property {string} name
 * @property {"path" | "query" | "header"} in
 * @property {boolean} [required]
 * @property {string} [description]
 * @property {Schema} schema
 */

/**
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string} summary
 * @property {string[]} tags
 * @property {Parameter[]} parameters
 * @property {Record<string, unknown>[]} security
 * @property {boolean} [deprecated]
 * @property {string} [x-action]
 * @property {string} [x-sunset]
 * @property {{required?: boolean, content: Content}} [requestBody]
 * @property {Record<string, {description: string, content?: Content}>} responses
 */

/**
 * @typedef {object} OpenApi
 * @property {{description: string}} info
 * @property {{name: string}[]} tags
 * @property {Record<string, Record<string, Operation>>} paths
 * @property {{schemas: Record<string, Schema>, securitySchemes: Record<string, unknown>}} components
 */

/**
 * An operation and where it is.
 *
 * @typedef {object} Route
 * @property {string} path
 * @property {string} method in capital letters
 * @property {Operation} operation
 */

// What a newcomer needs first comes first; whatever is not named here follows.
const FIRST = ["auth", "documents", "query", "search", "keys", "usage", "ops", "docs"];

/**
 * @param {OpenApi} doc
 * @param {Schema} schema
 * @returns {Schema} what a reference stands for
 */
export function resolve(doc, schema) {
  if (!schema.$ref) return schema;
  return doc.components.schemas[schema.$ref.split("/").pop() ?? ""] ?? {};
}

/**
 * Each part of the API with its routes; HEAD is told with its GET.
 *
 * @param {OpenApi} doc
 * @returns {{tag: string, routes: Route[]}[]}
 */
export function parts(doc) {
  const tags = doc.tags.map(({ name }) => name).sort((a, b) => place(a) - place(b));
  const routes = Object.entries(doc.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      ({ path, method: method.toUpperCase(), operation })));
  return tags.map((tag) => ({
    tag,
    routes: routes.filter((one) => one.method !== "HEAD" && one.operation.tags.includes(tag)),
  }));
}

/**
 * The media types of an operation's good answers.
 *
 * @param {Operation} operation
 * @returns {string[]}
 */
export function answerTypes(operation) {
  const good = Object.entries(operation.responses).filter(([status]) => Number(status) < 300);
  return [...new Set(good.flatMap(([, answer]) => Object.keys(answer.content ?? {})))];
}

/** @param {string} tag */
function place(tag) {
  return FIRST.includes(tag) ? FIRST.indexOf(tag) : FIRST.length;
}
