// @ts-check
// The Markdown that answers contain, as a tree: paragraphs, headings, lists, quotations, code,
// tables and rules. HTML is text. Positions are those of the whole text, because citations
// count in it.

/**
 * @typedef {{start: number, end: number}} Line Without its line end, and without the marks of
 *   the blocks that it stands in.
 * @typedef {object} Block
 * @property {"paragraph" | "heading" | "code" | "quote" | "list" | "item" | "table" | "rule"} type
 * @property {number} start
 * @property {number} end
 * @property {Line[]} [lines] of a block that holds text
 * @property {Block[]} [blocks] of one that holds others
 * @property {number} [level] of a heading, from 1
 * @property {number} [first] the number that an ordered list begins with
 * @property {Line[][]} [rows] of a table, the header first
 * @property {boolean} [quoted] of a paragraph whose letters are all meant as they are
 * @typedef {{block: Block, next: number}} Found `next` is the first line behind the block.
 * @typedef {{text: string, lines: Line[], depth: number}} Source
 */

// What is nested deeper is read as paragraphs, so that nobody's answer ends in a full stack.
const DEEPEST = 6;
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])([ \t]+|$)/;
const DELIMITERS = /^[ \t|:-]+$/;

/** @param {string} text @returns {Block[]} */
export function parse(text) {
  return blocks({ text, lines: linesOf(text), depth: 0 });
}

/** @param {string} text @returns {Line[]} */
export function linesOf(text) {
  const lines = [];
  let start = 0;
  for (const { 0: ending, index } of text.matchAll(/\r\n|\n|\r/g)) {
    lines.push({ start, end: index });
    start = index + ending.length;
  }
  return [...lines, { start, end: text.length }];
}

/** @param {Source} source @returns {Block[]} */
function blocks(source) {
  const found = [];
  let at = 0;
  while (at < source.lines.length) {
    if (isBlank(source, at)) {
      at += 1;
      continue;
    }
    const { block, next } = read(source, at);
    found.push(block);
    at = next;
  }
  return found;
}

/** @param {Source} source @param {number} at @returns {Found} */
function read(source, at) {
  const readers = source.depth < DEEPEST ? [code, heading, rule, quote, list, table] : [code];
  for (const reader of readers) {
    const found = reader(source, at);
    if (found) return found;
  }
  return paragraph(source, at);
}

/** @param {Source} source @param {number} at */
function lineAt({ text, lines }, at) {
  return text.slice(lines[at].start, lines[at].end);
}

/** @param {Source} source @param {number} at */
function isBlank(source, at) {
  return lineAt(source, at).trim() === "";
}

/**
 * @param {Source} source
 * @param {number} at
 * @param {number} next
 * @param {Omit<Block, "start" | "end">} block
 * @returns {Found}
 */
function found({ lines }, at, next, block) {
  return { block: { ...block, start: lines[at].start, end: lines[next - 1].end }, next };
}

/** @param {Source} source @param {number} at @returns {Found | null} */
function code(source, at) {
  const opening = FENCE.exec(lineAt(source, at));
  if (!opening) return null;
  // A fence without an end goes to the end of the answer, which may still be under way.
  let end = at + 1;
  while (end < source.lines.length && !closes(lineAt(source, end), opening[1])) end += 1;
  const lines = source.lines.slice(at + 1, end);
  return found(source, at, Math.min(end + 1, source.lines.length), { type: "code", lines });
}

/** @param {string} line @param {string} opening */
function closes(line, opening) {
  const fence = line.trim();
  return fence.length >= opening.length && fence === opening[0].repeat(fence.length);
}

/** @param {Source} source @param {number} at @returns {Found | null} */
function heading(source, at) {
  const opening = HEADING.exec(lineAt(source, at));
  if (!opening) return null;
  const { start } = source.lines[at];
  const line = { start: start + opening[0].length, end: source.lines[at].end };
  return found(source, at, at + 1, { type: "heading", level: opening[1].length, lines: [line] });
}

/** @param {Source} source @param {number} at @returns {Found | null} */
function rule(source, at) {
  return isRule(lineAt(source, at)) ? found(source, at, at + 1, { type: "rule" }) : null;
}

/** @param {string} line */
function isRule(line) {
  const marks = line.replace(/[ \t]+/g, "");
  return marks.length >= 3 && "-*_".includes(marks[0]) && marks === marks[0].repeat(marks.length);
}

/** @param {Source} source @param {number} at @returns {Found | null} */
function quote(source, at) {
  const lines = [];
  let next = at;
  for (; next < source.lines.length; next += 1) {
    const mark = QUOTE.exec(lineAt(source, next));
    if (!mark) break;
    const { start, end } = source.lines[next];
    lines.push({ start: start + mark[0].length, end });
  }
  if (lines.length === 0) return null;
  const inner = blocks({ ...source, lines, depth: source.depth + 1 });
  return found(source, at, next, { type: "quote", blocks: inner });
}

/** @param {Source} source @param {number} at @returns {Found | null} */
function list(source, at) {
  const first = ITEM.exec(lineAt(source, at));
  if (!first || !first[3]) return null;
  const items = [];
  let next = at;
  while (next < source.lines.length) {
    const mark = ITEM.exec(lineAt(source, next));
    if (!mark || isRule(lineAt(source, next)) || kindOf(mark) !== kindOf(first)) break;
    const one = item(source, next, mark);
    items.push(one.block);
    next = one.next;
  }
  const number = kindOf(first) === "ordered" ? { first: parseInt(first[2], 10) } : {};
  return found(source, at, next, { type: "list", blocks: items, ...number });
}

/** @param {RegExpExecArray} mark */
function kindOf(mark) {
  return /\d/.test(mark[2]) ? "ordered" : mark[2];
}

/**
 * An item has the lines that are indented below its mark, and those that go on with its text.
 *
 * @param {Source} source
 * @param {number} at
 * @param {RegExpExecArray} mark
 * @returns {Found}
 */
function item(source, at, mark) {
  const indent = mark[1].length;
  const lines = [{ start: source.lines[at].start + mark[0].length, end: source.lines[at].end }];
  let next = at + 1;
  let filled = next;
  for (; next < source.lines.length && belongs(source, next, indent); next += 1) {
    lines.push(dedented(source, next, mark[0].length));
    if (!isBlank(source, next)) filled = next + 1;
  }
  const kept = lines.slice(0, filled - at);
  const inner = blocks({ ...source, lines: kept, depth: source.depth + 1 });
  // Blank lines behind an item are between it and the next one, or behind the list.
  return { ...found(source, at, filled, { type: "item", blocks: inner }), next };
}

/** @param {Source} source @param {number} at @param {number} indent */
function belongs(source, at, indent) {
  const line = lineAt(source, at);
  const depth = line.length - line.trimStart().length;
  if (line.trim() === "") return true;
  // Two more than the mark is enough: models indent what belongs to "1. " by two as well.
  if (depth >= indent + 2) return true;
  return !isBlank(source, at - 1) && !begins(source, at) && !ITEM.test(line);
}

/** @param {Source} source @param {number} at @param {number} most @returns {Line} */
function dedented(source, at, most) {
  const line = lineAt(source, at);
  const { start, end } = source.lines[at];
  return { start: start + Math.min(most, line.length - line.trimStart().length), end };
}

/** @param {Source} source @param {number} at @returns {Found | null} */
function table(source, at) {
  if (!isTable(source, at)) return null;
  const rows = [cells(source, at)];
  let next = at + 2;
  while (next < source.lines.length && lineAt(source, next).includes("|")) {
    rows.push(cells(source, next));
    next += 1;
  }
  return found(source, at, next, { type: "table", rows });
}

/** @param {Source} source @param {number} at */
function isTable(source, at) {
  if (!lineAt(source, at).includes("|") || at + 1 >= source.lines.length) return false;
  const below = lineAt(source, at + 1);
  return below.includes("-") && below.includes("|") && DELIMITERS.test(below);
}

/** @param {Source} source @param {number} at @returns {Line[]} */
function cells(source, at) {
  const line = lineAt(source, at);
  const { start } = source.lines[at];
  const bars = [...line.matchAll(/\\.|\|/g)].filter(([mark]) => mark === "|");
  const edges = [-1, ...bars.map(({ index }) => index ?? 0), line.length];
  const found = edges.slice(1).map((end, n) => trimmed(line, edges[n] + 1, end, start));
  // A bar at either end of the line is its border.
  const isEmpty = (/** @type {Line} */ cell) => cell.start === cell.end;
  const head = found.length > 1 && isEmpty(found[0]) ? 1 : 0;
  const tail = found.length - head > 1 && isEmpty(found[found.length - 1]) ? -1 : found.length;
  return found.slice(head, tail);
}

/** @param {string} line @param {number} from @param {number} to @param {number} base */
function trimmed(line, from, to, base) {
  const cell = line.slice(from, to);
  const start = from + cell.length - cell.trimStart().length;
  return { start: base + start, end: base + start + cell.trim().length };
}

/** @param {Source} source @param {number} at @returns {Found} */
function paragraph(source, at) {
  let next = at + 1;
  while (next < source.lines.length && !isBlank(source, next) && !begins(source, next)) next += 1;
  const lines = source.lines.slice(at, next);
  return found(source, at, next, { type: "paragraph", lines });
}

/** @param {Source} source @param {number} at Whether a line ends the paragraph above it. */
function begins(source, at) {
  const line = lineAt(source, at);
  if (FENCE.test(line)) return true;
  if (source.depth >= DEEPEST) return false;
  const mark = ITEM.exec(line);
  // "1987. " at a line's beginning is a sentence's end; only a list's first item begins one.
  const isItem = mark !== null && mark[3] !== "" && (!/\d/.test(mark[2]) || parseInt(mark[2], 10) === 1);
  return isItem || HEADING.test(line) || QUOTE.test(line) || isRule(line);
}
