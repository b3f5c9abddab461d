// @ts-check
/** What one does with an answer that is not the end of the matter. */

import { quoted } from "./call.js";
import { h } from "../dom.js";

/**
 * @param {any} value of JSON
 * @param {(token: string) => void} useToken
 * @returns {HTMLElement | null}
 */
export function nextStep(value, useToken) {
  const token = value?.access_token;
  if (typeof token === "string") {
    return h("p", null, h("button", { type: "button", class: "button", onclick: () => useToken(token) },
      "Use this token for what is sent from this page"));
  }
  const upload = value?.upload;
  return typeof upload?.method === "string" ? uploading(upload) : null;
}

/**
 * The bytes go to the object store; this page may talk to the gateway alone, so it shows how.
 *
 * @param {{method: string, url?: string, fields?: Record<string, string>,
 *   headers?: Record<string, string>}} upload
 */
function uploading(upload) {
  const line = uploadLine(upload);
  return h("div", null,
    h("p", null, "The file itself goes straight to the object store, not through the gateway, until ",
      h("code", null, "upload.expires_at"), ". ",
      line ? "So it is sent:" : "This one goes in parts: ask for their addresses with "
        + "POST …/parts, send each with PUT, and list their ETags when you complete."),
    line && h("pre", { tabindex: "0", role: "group", "aria-label": "Upload" }, line),
    h("p", null, "Then tell the gateway that it is there: POST to ", h("code", null, "complete_url"), "."));
}

/**
 * @param {{method: string, url?: string, fields?: Record<string, string>,
 *   headers?: Record<string, string>}} upload
 * @returns {string | null}
 */
function uploadLine({ method, url, fields, headers }) {
  if (!url || method === "MULTIPART") return null;
  const told = method === "POST"
    ? Object.entries(fields ?? {}).map(([name, value]) => `--form-string ${quoted(`${name}=${value}`)}`)
    : Object.entries(headers ?? {}).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  // A form's file has to be its last field.
  const file = method === "POST" ? "-F file=@FILE" : "-T FILE";
  return [`curl -X ${method} ${quoted(url)}`, ...told, file].join(" \\\n  ");
}
