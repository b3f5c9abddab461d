// @ts-check
// What states of documents are called.

import { plural } from "../../format.js";

/** @typedef {import("./types.js").Doc} Doc */

/** @type {Record<Doc["status"], {words: string, badge: string}>} */
export const STATUSES = {
  awaiting_upload: { words: "Waiting for its file", badge: "badge" },
  processing: { words: "Processing", badge: "badge busy" },
  indexed: { words: "Ready", badge: "badge ok" },
  failed: { words: "Failed", badge: "badge bad" },
  expired: { words: "Never arrived", badge: "badge bad" },
};

/** @type {Record<string, string>} */
const STAGES = {
  queued: "Waiting its turn",
  fetching: "Fetching",
  reading: "Reading",
  splitting: "Dividing into passages",
  indexing: "Indexing",
};

/**
 * How far a document is, such as "Reading, 40 %" or "Waiting its turn behind 3 documents".
 * @param {Doc} document
 */
export function progressWords(document) {
  if (document.status !== "processing") return STATUSES[document.status].words;
  const stage = STAGES[document.stage ?? ""] ?? STATUSES.processing.words;
  if (document.stage === "queued") {
    return document.ahead ? `${stage} behind ${plural(document.ahead, "document", "documents")}` : stage;
  }
  return document.progress ? `${stage}, ${percent(document.progress)}` : stage;
}

/** @param {number} fraction */
export function percent(fraction) {
  return `${Math.floor(fraction * 100)} %`;
}

/** @type {Record<string, string>} */
const TYPES = {
  "application/pdf": "PDF",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word document",
  "text/html": "HTML page",
  "text/markdown": "Markdown",
  "text/plain": "Plain text",
};

/** @param {string} type */
export function typeWords(type) {
  return TYPES[type] ?? type;
}
