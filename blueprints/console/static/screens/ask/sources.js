// @ts-check
// The passages that an answer is from: the numbers in its text, and the list below it.

import { h } from "../../dom.js";
import { shown } from "./answer_view.js";
import { placeOf } from "./records.js";

/**
 * @typedef {import("./records.js").Turn} Turn
 * @typedef {(turn: Turn, source: number) => void} Open
 */

/** @param {Turn} turn @param {number} source @param {Open} open */
export function numberButton(turn, source, open) {
  const found = turn.sources[source];
  const place = [shown(found.filename), placeOf(found)].filter(Boolean).join(", ");
  const label = `Source ${source + 1}: ${place}`;
  const onclick = () => open(turn, source);
  return h("button", { class: "cite", type: "button", "aria-label": label, title: place, onclick }, source + 1);
}

/** @param {Turn} turn The places of the sources that are cited, each once. */
export function citedIn(turn) {
  const places = turn.citations.map(({ source }) => source);
  return [...new Set(places)].filter((n) => n in turn.sources).sort((a, b) => a - b);
}

/**
 * @param {Turn} turn
 * @param {Open} open
 * @returns {HTMLElement[]} nothing while nothing is known
 */
export function sourceLists(turn, open) {
  const cited = citedIn(turn);
  const others = turn.sources.map((_, n) => n).filter((n) => !cited.includes(n));
  const lists = cited.length > 0 ? [h("h3", null, "Sources"), list(turn, cited, open)] : [];
  if (others.length === 0 || turn.state === "asking" || turn.state === "streaming") return lists;
  const found = cited.length > 0 ? "Also found, and not cited" : "Found, and not cited";
  const summary = h("summary", null, `${found}: ${others.length}`);
  return [...lists, h("details", null, summary, list(turn, others, open))];
}

/** @param {Turn} turn @param {number[]} numbers @param {Open} open */
function list(turn, numbers, open) {
  return h("ul", { class: "sources" }, numbers.map((n) => h("li", null, entry(turn, n, open))));
}

/** @param {Turn} turn @param {number} n @param {Open} open */
function entry(turn, n, open) {
  const source = turn.sources[n];
  const place = placeOf(source);
  return h(
    "button",
    { class: "source", type: "button", onclick: () => open(turn, n) },
    h("span", { class: "number", "aria-hidden": "true" }, n + 1),
    h("span", { class: "visually-hidden" }, `Source ${n + 1}: `),
    h("bdi", { class: "name" }, shown(source.filename)),
    place && h("span", { class: "muted", dir: "auto" }, shown(place)),
  );
}
