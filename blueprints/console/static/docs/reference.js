// @ts-check
/** What an operation takes and answers, to read. */

import { h } from "../dom.js";
import { resolve } from "./openapi.js";
import { fields, marked, words } from "./schemas.js";

/** @typedef {import("./openapi.js").OpenApi} OpenApi */
/** @typedef {import("./openapi.js").Operation} Operation */
/** @typedef {import("./openapi.js").Content} Content */

/**
 * @param {OpenApi} doc
 * @param {Operation} operation
 * @returns {HTMLElement[]}
 */
export function reference(doc, operation) {
  return [
    ...parameters(doc, operation),
    ...body(doc, "Body", operation.requestBody?.content),
    ...answers(doc, operation),
  ];
}

/**
 * What may be asked of whom.
 *
 * @param {Operation} operation
 * @returns {HTMLElement}
 */
export function permission(operation) {
  const ends = operation["x-sunset"] ? ` It ends on ${operation["x-sunset"]}.` : "";
  return h(
    "p",
    { class: "permission" },
    operation.security.length
      ? ["Permission ", h("code", null, operation["x-action"] ?? "")]
      : "No credential needed",
    operation.deprecated && `. Deprecated.${ends}`,
  );
}

/**
 * @param {OpenApi} doc
 * @param {Operation} operation
 * @returns {HTMLElement[]}
 */
function parameters(doc, operation) {
  if (!operation.parameters.length) return [];
  const rows = operation.parameters.map((one) => [
    h("code", null, one.name),
    h("span", { class: "shape" },
      `${words(doc, one.schema)}, in the ${one.in}${one.required ? "" : " (optional)"}`),
    h("span", null, marked(one.description ?? one.schema.description)),
  ]);
  return [h("h3", null, "Parameters"), table(rows, "fields")];
}

/**
 * @param {OpenApi} doc
 * @param {string} title
 * @param {Content} [content]
 * @returns {HTMLElement[]}
 */
function body(doc, title, content = {}) {
  return Object.entries(content).flatMap(([type, media]) => {
    const { description } = resolve(doc, media.schema);
    const rows = fields(doc, media.schema);
    return [
      h("h3", null, `${title}: ${type}`),
      ...(description ? [h("p", null, marked(description))] : []),
      ...(rows.length ? [table(rows, "fields")] : []),
    ];
  });
}

/**
 * @param {OpenApi} doc
 * @param {Operation} operation
 * @returns {HTMLElement[]}
 */
function answers(doc, operation) {
  const all = Object.entries(operation.responses);
  const good = all.filter(([status]) => Number(status) < 400);
  const bad = all.filter(([status]) => Number(status) >= 400);
  return [
    ...good.flatMap(([status, one]) => [
      h("p", { class: "answers" }, "Answers ", h("b", null, status), ": ", marked(one.description)),
      ...body(doc, `Answer ${status}`, one.content),
    ]),
    h("h3", null, "Errors"),
    table(bad.map(([status, one]) => [status, h("span", null, marked(one.description))]), "codes"),
  ];
}

/**
 * @param {(Node | string)[][]} rows
 * @param {string} name its class
 * @returns {HTMLElement}
 */
function table(rows, name) {
  const row = (/** @type {(Node | string)[]} */ cells) =>
    h("tr", null, cells.map((cell, n) => (n ? h("td", null, cell) : h("th", { scope: "row" }, cell))));
  return h("table", { class: name }, h("tbody", null, rows.map(row)));
}
