// @ts-check
// The passage that an answer is from, in its document: beside the answer, or by its own address
// (`#/documents/ID?passage=CHUNK&page=3`).

import { h, replace } from "../dom.js";
import { copyButton, isLeaving, problem } from "../problem.js";
import { shown } from "./ask/answer_view.js";
import { Conversations } from "./ask/conversations.js";
import { openFile } from "./ask/files.js";
import { unitsOf } from "./ask/notes.js";

/**
 * @typedef {import("./ask/records.js").Turn} Turn
 * @typedef {import("./ask/records.js").Source} Source
 */

/** @param {Source} source Where this passage can be found again, in this console. */
export function addressOf({ document_id, chunk_id, page }) {
  const query = new URLSearchParams({ passage: chunk_id, ...(page ? { page: String(page) } : {}) });
  return `#/documents/${encodeURIComponent(document_id)}?${query}`;
}

/**
 * Shows a passage of an answer in a panel.
 *
 * @param {import("../types").App} app
 * @param {{turn: Turn, source: number}} which `source` is its place in the answer's sources
 */
export function openPassage(app, { turn, source }) {
  const passage = turn.sources[source];
  open(app, passage, `Source ${source + 1}`, text(passage, quotations(turn, source)));
}

/**
 * Shows the passage that an address names, for the documents' screen. What it says is known as long
 * as a conversation of this tab has it; its place is in the address.
 *
 * @param {import("../types").App} app
 * @param {import("../types").Params} params
 * @param {string} filename
 */
export function openLinked(app, { id, query }, filename) {
  const chunk = query.get("passage") ?? "";
  const turns = new Conversations(app.me).list().flatMap((one) => one.turns);
  const sources = turns.flatMap((turn) => turn.sources);
  const kept = sources.find((one) => one.document_id === id && one.chunk_id === chunk && one.text);
  const page = Number(query.get("page")) || undefined;
  const place = { document_id: id ?? "", chunk_id: chunk, filename, score: 0, text: "", ...(page ? { page } : {}) };
  const gone = h("p", { class: "muted" }, "The text of this passage was kept with its conversation, which this tab no longer has. It is in the file.");
  open(app, kept ?? place, "Passage", kept ? text(kept, []) : gone);
}

/**
 * @param {import("../types").App} app
 * @param {Source} passage
 * @param {string} lead
 * @param {HTMLElement} content
 */
function open(app, passage, lead, content) {
  const failed = h("div", null);
  const close = () => panel.close();
  const panel = h(
    "dialog",
    { class: "dialog passage", "aria-labelledby": "passage-title" },
    h("div", { class: "row passage-head" },
      h("h2", { id: "passage-title" }, `${lead}: `, h("bdi", null, shown(passage.filename))),
      h("button", { class: "close", type: "button", "aria-label": "Close", onclick: close }, "×")),
    place(passage),
    content,
    failed,
    actions(app, passage, failed),
  );
  panel.addEventListener("close", () => panel.remove());
  // A link in the panel, and the browser's way back, leave it.
  app.signal().addEventListener("abort", close);
  document.body.append(panel);
  panel.showModal();
}

/** @param {Source} passage */
function place({ page, section }) {
  const where = [page === undefined ? null : `Page ${page}`, section?.length ? shown(section.join(" › ")) : null];
  const known = where.filter((part) => part !== null).join(" · ");
  return known && h("p", { class: "muted", dir: "auto" }, known);
}

/** @param {Source} passage @param {string[]} quoted */
function text(passage, quoted) {
  const cut = passage.truncated && h("p", { class: "muted" }, "The passage goes on in the document.");
  if (!passage.text) return h("p", { class: "muted" }, "The text of this passage is no longer kept. It is in the file.");
  return h("div", null, h("blockquote", { class: "passage-text", dir: "auto" }, marked(passage.text, quoted)), cut);
}

/** @param {Turn} turn @param {number} source What the answer says by this source. */
function quotations(turn, source) {
  const own = turn.citations.filter((one) => one.source === source);
  const places = unitsOf(turn.text, own.flatMap(({ start, end }) => [start, end]));
  const said = own.map(({ start, end }) => turn.text.slice(places.get(start), places.get(end)));
  // A model emphasises what it quotes, and makes lists of it; the document need not.
  const bare = said.map((words) => words.replace(/^\s*(?:[-+*]|\d{1,9}[.)])\s+/, "").replace(/[*_`~]/g, ""));
  return [...said, ...bare].map((words) => words.trim());
}

/** @param {string} passage @param {string[]} quoted Its text, with what is quoted of it marked. */
function marked(passage, quoted) {
  /** @type {(string | HTMLElement)[]} */
  const parts = [];
  let from = 0;
  for (const { at, length } of found(passage, quoted)) {
    if (at < from) continue;
    parts.push(shown(passage.slice(from, at)), h("mark", null, shown(passage.slice(at, at + length))));
    from = at + length;
  }
  return [...parts, shown(passage.slice(from))];
}

/** @param {string} passage @param {string[]} quoted */
function found(passage, quoted) {
  const places = quoted.map((words) => ({ at: words ? passage.indexOf(words) : -1, length: words.length }));
  return places.filter(({ at }) => at >= 0).sort((one, other) => one.at - other.at);
}

/** @param {import("../types").App} app @param {Source} passage @param {HTMLElement} failed */
function actions(app, passage, failed) {
  const address = new URL(addressOf(passage), location.href).href;
  const page = passage.page === undefined ? "" : ` at page ${passage.page}`;
  const button = h("button", { class: "button primary", type: "button" }, `Open the file${page}`);
  button.addEventListener("click", () => void openInstead(app, passage, button, failed));
  return h(
    "div",
    { class: "row end" },
    copyButton(address, "Copy link"),
    h("a", { class: "button", href: `#/documents/${encodeURIComponent(passage.document_id)}` }, "Document"),
    button,
  );
}

/** @param {import("../types").App} app @param {Source} passage @param {HTMLButtonElement} button @param {HTMLElement} failed */
async function openInstead(app, passage, button, failed) {
  button.disabled = true;
  replace(failed);
  try {
    await openFile(app, passage);
  } catch (error) {
    if (!isLeaving(error)) replace(failed, problem(error));
  } finally {
    button.disabled = false;
  }
}
