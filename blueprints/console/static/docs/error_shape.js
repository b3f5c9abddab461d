// @ts-check
/** The one shape of errors, for people. */

import { h } from "../dom.js";
import { problem } from "../problem.js";

/**
 * @param {any} value of JSON
 * @returns {HTMLElement | null} `null` for what is no error
 */
export function errorShape(value) {
  const error = value?.error;
  if (typeof error?.code !== "string" || typeof error?.message !== "string") return null;
  const { fields, request_id: requestId, ...others } = error.details ?? {};
  return h("div", { class: "error-shape" },
    problem({ code: error.code, message: error.message, requestId }),
    rows(fields), rows(others),
    error.code === "UNAUTHENTICATED" && h("p", null,
      h("a", { href: "#token" }, "Give a token or an API key"), " and send it again."));
}

/** @param {Record<string, unknown> | undefined} values */
function rows(values) {
  const all = Object.entries(values ?? {});
  if (!all.length) return null;
  return h("table", { class: "fields" }, h("tbody", null, all.map(([name, value]) =>
    h("tr", null, h("th", { scope: "row" }, h("code", null, name)),
      h("td", null, typeof value === "string" ? value : JSON.stringify(value))))));
}
