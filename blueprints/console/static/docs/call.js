// @ts-check
/** A call as it will be sent, and the same call for curl. */

/** @typedef {import("./openapi.js").Route} Route */

/**
 * What a form holds: the parameters that were filled in, by where they go.
 *
 * @typedef {object} Filled
 * @property {Record<string, string>} path
 * @property {Record<string, string>} query
 * @property {Record<string, string>} headers
 * @property {string | null} body
 */

/**
 * @typedef {object} Call
 * @property {string} method
 * @property {string} target path and query string; a path parameter without a value is `{name}`
 * @property {Record<string, string>} headers
 * @property {string | null} body
 * @property {boolean} streams whether its answer may be an event stream
 */

/**
 * @param {Route} route
 * @param {Filled} filled
 * @returns {Call}
 */
export function callOf(route, filled) {
  const path = route.path.replace(/\{(\w+)\}/g, (whole, name) =>
    filled.path[name] ? encoded(filled.path[name]) : whole);
  const query = Object.entries(filled.query)
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&");
  /** @type {Record<string, string>} */
  const type = filled.body === null ? {} : { "Content-Type": "application/json" };
  const types = Object.values(route.operation.responses).flatMap((one) =>
    Object.keys(one.content ?? {}));
  return {
    method: route.method,
    target: query ? `${path}?${query}` : path,
    headers: { ...type, ...filled.headers },
    body: filled.body,
    streams: types.includes("text/event-stream"),
  };
}

/**
 * The call as a line for a shell.
 *
 * @param {Call} call
 * @param {string} origin
 * @param {string | null} credential `Bearer …` as it is to be shown, or none; `$TOKEN` in it stays
 *   a variable
 * @returns {string}
 */
export function curl(call, origin, credential) {
  const head = `curl ${call.streams ? "-N " : ""}-X ${call.method} ${address(origin, call.target)}`;
  const headers = Object.entries(call.headers).map(([name, value]) =>
    `-H ${quoted(`${name}: ${value}`)}`);
  if (credential === "$TOKEN") headers.unshift('-H "Authorization: Bearer $TOKEN"');
  else if (credential !== null) headers.unshift(`-H ${quoted(`Authorization: Bearer ${credential}`)}`);
  // `-d` would read a file for what begins with @.
  const body = call.body === null ? [] : [`--data-raw ${quoted(call.body)}`];
  return [head, ...headers, ...body].join(" \\\n  ");
}

/**
 * Nothing in single quotes means anything to a shell, except their end.
 *
 * @param {string} text
 * @returns {string}
 */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * What is still missing in the path is a variable of the shell.
 *
 * @param {string} origin
 * @param {string} target
 */
function address(origin, target) {
  const filled = target.replace(/\{(\w+)\}/g, (_, name) => `$${name.toUpperCase()}`);
  return `"${origin}${filled}"`;
}

/**
 * As RFC 3986 has it: the few characters that `encodeURIComponent` leaves would mean something to a
 * shell.
 *
 * @param {string} text
 */
function encoded(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) =>
    `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}
