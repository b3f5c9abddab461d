// @ts-check
// What is kept of a question and its answer: plain values, so that they can be stored as JSON.

/**
 * @typedef {{document_id: string, filename: string, chunk_id: string, score: number, text: string,
 *   page?: number, section?: string[], truncated?: boolean}} Source
 * @typedef {{source: number, start: number, end: number}} Citation
 * @typedef {{prompt_tokens: number, completion_tokens: number}} Usage
 * @typedef {{name?: string, code: string, message: string, status?: number,
 *   details?: Record<string, any>, goesOnAt?: number}} Failure `code` is empty of what the server
 *   did not say itself, `goesOnAt` is in milliseconds since 1970.
 * @typedef {"asking" | "streaming" | "done" | "stopped" | "broken"} State
 * @typedef {object} Turn
 * @property {string} id
 * @property {string} question
 * @property {string} at RFC 3339
 * @property {State} state
 * @property {string} text
 * @property {Source[]} sources
 * @property {Citation[]} citations
 * @property {string} [model]
 * @property {Usage} [usage]
 * @property {string} [finishReason]
 * @property {string} [requestId]
 * @property {Failure} [failure]
 * @typedef {{id: string, title: string, at: string, documents: {id: string, filename: string}[],
 *   turns: Turn[]}} Conversation
 */

/** A UUIDv7, which is what the API takes as a conversation's id. */
export function uuid7(now = Date.now()) {
  // Not `crypto.randomUUID`, which pages over plain HTTP do not have.
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  bytes[0] = (bytes[0] & 0x0f) | 0x70;
  bytes[2] = (bytes[2] & 0x3f) | 0x80;
  const tail = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const hex = now.toString(16).padStart(12, "0") + tail;
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([a, b]) => hex.slice(a, b)).join("-");
}

/** @returns {Conversation} */
export function newConversation() {
  const at = new Date().toISOString();
  return { id: uuid7(), title: "", at, documents: [], turns: [] };
}

/** @param {string} question @returns {Turn} */
export function newTurn(question) {
  const at = new Date().toISOString();
  return { id: uuid7(), question, at, state: "asking", text: "", sources: [], citations: [] };
}

/** @param {string} question The beginning of it, cut between words where there are any. */
export function titleOf(question) {
  const line = question.trim().split(/\s+/).join(" ");
  const letters = [...line];
  if (letters.length <= 60) return line;
  const cut = letters.slice(0, 60).join("");
  const space = cut.lastIndexOf(" ");
  return `${space > 30 ? cut.slice(0, space) : cut}…`;
}

/**
 * Takes an event of the answer into its record. The gateway passes a core's events on unread, so
 * that nothing is known of their data: what is not as it should be is left out.
 *
 * @param {Turn} turn
 * @param {{event: string, data: any}} told
 */
export function take(turn, { event, data }) {
  if (turn.state === "asking") turn.state = "streaming";
  TAKES[event]?.(turn, data ?? {});
}

/** @type {Record<string, (turn: Turn, data: any) => void>} */
const TAKES = {
  meta(turn, data) {
    if (typeof data.model === "string") turn.model = data.model;
  },
  sources(turn, data) {
    if (Array.isArray(data)) turn.sources.push(...data.filter(isSource).map(sourceOf));
  },
  token(turn, data) {
    if (typeof data.text === "string") turn.text += data.text;
  },
  citation(turn, { source, start, end }) {
    if ([source, start, end].every(Number.isInteger)) turn.citations.push({ source, start, end });
  },
  usage(turn, { prompt_tokens, completion_tokens }) {
    if (!Number.isInteger(prompt_tokens) || !Number.isInteger(completion_tokens)) return;
    turn.usage = { prompt_tokens, completion_tokens };
  },
  done(turn, data) {
    turn.state = "done";
    turn.finishReason = typeof data.finish_reason === "string" ? data.finish_reason : "stop";
  },
};

/** @param {any} source */
function isSource(source) {
  return ["document_id", "filename", "text"].every((name) => typeof source?.[name] === "string");
}

/** @param {any} source @returns {Source} */
function sourceOf(source) {
  const { document_id, filename, text } = source;
  const chunk_id = String(source.chunk_id ?? "");
  const found = { document_id, filename, text, chunk_id, score: Number(source.score) };
  if (Number.isInteger(source.page)) Object.assign(found, { page: source.page });
  if (Array.isArray(source.section)) Object.assign(found, { section: source.section.map(String) });
  return source.truncated === true ? { ...found, truncated: true } : found;
}

/** @param {Source} source Where a passage stands, in words. */
export function placeOf({ page, section }) {
  return [page === undefined ? "" : `page ${page}`, (section ?? []).join(" › ")]
    .filter(Boolean).join(", ");
}
