// @ts-check
// What is told of uploads while another screen is open, and when they have come to their end.

import { h, replace } from "../../dom.js";
import { number, plural } from "../../format.js";
import { soon } from "./soon.js";
import { percent } from "./words.js";

/** @typedef {import("./queue.js").Uploads} Uploads */

/** @type {WeakSet<Uploads>} */
const kept = new WeakSet();

/**
 * Shows a line over every other screen for as long as files are on their way; once for each queue.
 * @param {any} app
 * @param {Uploads} uploads
 */
export function keepIndicator(app, uploads) {
  if (kept.has(uploads)) return;
  kept.add(uploads);
  const bar = h("progress", { class: "bar", max: 1, "aria-label": "All uploads" });
  const words = h("span", {});
  const line = h("a", { class: "upload-indicator", href: "#/documents", hidden: true }, words, bar);
  document.body.append(line);
  const update = soon(() => show(uploads, line, words, bar));
  uploads.addEventListener("change", update);
  window.addEventListener("hashchange", update);
  uploads.addEventListener("ended", () => tell(app, uploads));
}

/**
 * @param {Uploads} uploads
 * @param {HTMLElement} line
 * @param {HTMLElement} words
 * @param {HTMLProgressElement} bar
 */
function show(uploads, line, words, bar) {
  const { unsent, totals } = uploads;
  line.hidden = !unsent.length || !uploads.isOurs || isDocuments();
  if (line.hidden) return;
  const part = totals.total ? totals.sent / totals.total : 0;
  bar.value = part;
  const lost = unsent.filter((one) => one.state === "lost").length;
  const now = lost ? `${plural(lost, "upload", "uploads")} interrupted` : `Uploading ${plural(unsent.length, "file", "files")}, ${percent(part)}`;
  if (words.textContent !== now) replace(words, now);
}

function isDocuments() {
  return /^#\/documents\/?(\?|$)/.test(location.hash);
}

/**
 * @param {any} app
 * @param {Uploads} uploads
 */
function tell(app, uploads) {
  const count = (/** @type {string[]} */ ...states) => uploads.items.filter((one) => states.includes(one.state)).length;
  const sent = count("processing", "ready", "failed");
  const bad = count("broken", "refused");
  const skipped = count("skipped");
  const parts = [
    sent && `${plural(sent, "file", "files")} sent`,
    skipped && `${number(skipped)} skipped`,
    bad && `${number(bad)} not sent`,
  ].filter(Boolean);
  if (!parts.length) return;
  const words = `${parts.join(", ")}.`;
  if (isDocuments()) app.announce(words);
  else app.notice(words, { kind: bad ? "error" : "done" });
}
