// @ts-check
// Where the numbers of citations stand in an answer.

/** @typedef {import("./records.js").Citation} Citation */

/**
 * The number of `source` stands at `at`. Up to `to` it takes the place of the text, which is the
 * mark `[n]` that a model wrote itself, with the blank before it.
 *
 * @typedef {{at: number, to: number, source: number}} Note
 */

const WRITTEN = /(?:[ \t]{0,9}\[\d{1,3}\])+/y;

/**
 * Notes by their places, each of them once.
 *
 * @param {string} text
 * @param {Citation[]} citations their positions count code points, as the core's do
 * @param {number} sources how many there are: a citation of another one is none
 * @returns {Note[]}
 */
export function notesOf(text, citations, sources) {
  const known = citations.filter(({ source }) => source >= 0 && source < sources);
  const places = unitsOf(text, known.map(({ end }) => end));
  /** @type {Map<number, Set<number>>} */
  const cited = new Map();
  for (const { source, end } of known) {
    const at = places.get(end) ?? text.length;
    cited.set(at, (cited.get(at) ?? new Set()).add(source));
  }
  const ends = [...cited].sort(([one], [other]) => one - other);
  return ends.flatMap(([at, numbers]) => placed(text, at, numbers));
}

/** @param {string} text @param {number} at @param {Set<number>} cited @returns {Note[]} */
function placed(text, at, cited) {
  const written = marksAt(text, at).filter(({ source }) => cited.has(source));
  const there = new Set(written.map(({ source }) => source));
  const others = [...cited].filter((source) => !there.has(source));
  return [...others.map((source) => ({ at, to: at, source })), ...written];
}

/** @param {string} text @param {number} at @returns {Note[]} */
function marksAt(text, at) {
  WRITTEN.lastIndex = at;
  const run = WRITTEN.exec(text)?.[0] ?? "";
  return [...run.matchAll(/[ \t]*\[(\d{1,3})\]/g)].map((mark) => {
    const start = at + mark.index;
    return { at: start, to: start + mark[0].length, source: Number(mark[1]) - 1 };
  });
}

/**
 * From code points to JavaScript's positions, which count UTF-16 units.
 *
 * @param {string} text
 * @param {number[]} points
 * @returns {Map<number, number>}
 */
export function unitsOf(text, points) {
  const wanted = [...new Set(points)].sort((one, other) => one - other);
  // Most answers have no letter outside of the first plane, and then both count alike.
  if (!/[\ud800-\udbff]/.test(text)) return new Map(wanted.map((n) => [n, n]));
  const found = new Map();
  let unit = 0;
  let point = 0;
  for (const n of wanted) {
    for (; point < n && unit < text.length; point += 1) {
      unit += (text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1;
    }
    found.set(n, unit);
  }
  return found;
}
