// @ts-check
// An answer as elements. All of its text becomes text nodes: nothing that a document or a model
// says is markup here.

import { h } from "../../dom.js";
import { inline } from "./inline.js";
import { linesOf, parse } from "./markdown.js";
import { notesOf } from "./notes.js";

/**
 * @typedef {import("./records.js").Turn} Turn
 * @typedef {import("./markdown.js").Block} Block
 * @typedef {import("./markdown.js").Line} Line
 * @typedef {import("./inline.js").Inline} Inline
 * @typedef {import("./notes.js").Note} Note
 * @typedef {(source: number) => HTMLElement} NumberOf
 */

// The model that quotes documents in their own letters, in which a star is a star.
export const QUOTING = "extractive";

/** Shows an answer that grows: what has not changed since the last time keeps its elements. */
export class AnswerView {
  /** @type {Map<string, HTMLElement>} */
  #shown = new Map();

  /** @param {HTMLElement} element @param {NumberOf} numberOf makes the button of a source */
  constructor(element, numberOf) {
    this.element = element;
    this.numberOf = numberOf;
  }

  /** @param {Turn} turn */
  show(turn) {
    const notes = notesOf(turn.text, turn.citations, turn.sources.length);
    const blocks = turn.model === QUOTING ? quoted(turn.text) : parse(turn.text);
    /** @type {Map<string, HTMLElement>} */
    const next = new Map();
    blocks.forEach((block, n) => {
      const before = blocks[n + 1]?.start ?? Infinity;
      const from = n === 0 ? 0 : block.start;
      const own = notes.filter(({ at }) => at >= from && at < before);
      const key = JSON.stringify([block.start, turn.text.slice(block.start, block.end), own]);
      const element = this.#shown.get(key) ?? new Writer(turn.text, own, this.numberOf).write(block);
      next.set(key, element);
    });
    this.#put([...next.values()]);
    this.#shown = next;
  }

  /** @param {HTMLElement[]} elements Only what is new or gone is touched: a selection stays. */
  #put(elements) {
    const kept = new Set(elements);
    for (const old of [...this.element.children]) if (!kept.has(/** @type {any} */ (old))) old.remove();
    elements.forEach((element, n) => {
      if (this.element.children[n] !== element) {
        this.element.insertBefore(element, this.element.children[n] ?? null);
      }
    });
  }
}

/** @param {string} text @returns {Block[]} Its lines, as they are. */
function quoted(text) {
  const lines = linesOf(text).filter(({ start, end }) => end > start);
  return lines.map((line) => ({ type: "paragraph", quoted: true, ...line, lines: [line] }));
}

/** Writes one block of an answer, with the numbers of its citations. */
class Writer {
  /** Up to here the text is already there, as a number. */
  #skipped = 0;

  /** @param {string} text @param {Note[]} notes @param {NumberOf} numberOf */
  constructor(text, notes, numberOf) {
    this.text = text;
    this.notes = [...notes];
    this.numberOf = numberOf;
  }

  /** @param {Block} block @returns {HTMLElement} */
  write(block) {
    const element = this.#block(block);
    if (this.notes.length === 0) return element;
    // What belongs to no line of text, as behind code, stands below it.
    const rest = h("p", null);
    this.#number(rest, Infinity);
    return h("div", null, element, rest);
  }

  /** @param {Block} block @returns {HTMLElement} */
  #block(block) {
    switch (block.type) {
      case "heading": return this.#heading(block);
      case "code": return this.#code(block);
      case "quote": return h("blockquote", null, this.#blocks(block));
      case "list": return this.#list(block);
      case "item": return h("li", { dir: "auto" }, this.#item(block));
      case "table": return this.#table(block);
      case "rule": return h("hr", null);
      default: return this.#paragraph(block);
    }
  }

  /** @param {Block} block */
  #blocks(block) {
    return (block.blocks ?? []).map((inner) => this.#block(inner));
  }

  /** @param {Block} block */
  #paragraph({ lines = [], quoted = false }) {
    return this.#leaf(h("p", { dir: "auto", class: quoted && "quoted" }), lines, quoted);
  }

  /** @param {Block} block The title and the question stand above, as the first and second level. */
  #heading(block) {
    const tag = /** @type {"h3"} */ (`h${Math.min((block.level ?? 1) + 2, 6)}`);
    return this.#leaf(h(tag, { dir: "auto" }), block.lines ?? [], false);
  }

  /** @param {Block} block */
  #code(block) {
    const code = this.#joined(block.lines ?? []);
    // It can be wider than the screen, and is scrolled with the keyboard, too.
    return h("pre", { tabindex: "0", role: "group", "aria-label": "Code" }, h("code", null, shown(code)));
  }

  /** @param {Block} block */
  #list(block) {
    if (block.first === undefined) return h("ul", null, this.#blocks(block));
    return h("ol", { start: block.first }, this.#blocks(block));
  }

  /** @param {Block} block An item of one paragraph is just its text. */
  #item(block) {
    return (block.blocks ?? []).map((inner, n) => {
      if (n > 0 || inner.type !== "paragraph") return this.#block(inner);
      return this.#leaf(h("span", null), inner.lines ?? [], false);
    });
  }

  /** @param {Block} block */
  #table(block) {
    const [head, ...rows] = block.rows ?? [];
    const row = (/** @type {Line[]} */ cells, /** @type {"th" | "td"} */ tag) =>
      h("tr", null, cells.map((cell) => this.#leaf(h(tag, { dir: "auto" }), [cell], false)));
    return h(
      "div",
      { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Table" },
      h("table", { class: "table" },
        h("thead", null, row(head, "th")),
        h("tbody", null, rows.map((cells) => row(cells, "td")))),
    );
  }

  /** @param {Line[]} lines */
  #joined(lines) {
    return lines.map(({ start, end }) => this.text.slice(start, end)).join("\n");
  }

  /**
   * Text with its emphasis and numbers. Within it positions are those of the joined lines.
   *
   * @param {HTMLElement} element
   * @param {Line[]} lines
   * @param {boolean} isQuotation
   */
  #leaf(element, lines, isQuotation) {
    const text = this.#joined(lines);
    const last = lines[lines.length - 1]?.end ?? 0;
    const outer = this.notes;
    this.notes = outer.filter(({ at }) => at <= last).map((note) => within(note, lines));
    this.#skipped = 0;
    const whole = /** @type {Inline} */ ({ type: "text", start: 0, end: text.length });
    this.#inlines(element, text, isQuotation ? [whole] : inline(text));
    this.#number(element, Infinity);
    this.notes = outer.filter(({ at }) => at > last);
    return element;
  }

  /** @param {HTMLElement} parent @param {string} text @param {Inline[]} nodes */
  #inlines(parent, text, nodes) {
    for (const node of nodes) this.#inline(parent, text, node);
  }

  /** @param {HTMLElement} parent @param {string} text @param {Inline} node */
  #inline(parent, text, node) {
    if (node.type === "text") return this.#words(parent, text, node.start, node.end);
    if (node.type === "code" || node.type === "link") {
      // A button within a link or in code would be part of it: it stands behind.
      parent.append(node.type === "code"
        ? h("code", null, shown(text.slice(node.start, node.end)))
        : h("span", null, link(text, node)));
      return this.#number(parent, node.end);
    }
    const element = h(node.type, null);
    this.#inlines(element, text, node.children ?? []);
    parent.append(element);
  }

  /** @param {HTMLElement} parent @param {string} text @param {number} start @param {number} end */
  #words(parent, text, start, end) {
    let from = Math.max(start, this.#skipped);
    while (this.notes.length > 0 && this.notes[0].at <= end) {
      const { at } = this.notes[0];
      if (at > from) parent.append(shown(text.slice(from, at)));
      this.#number(parent, at);
      from = Math.max(from, at, this.#skipped);
    }
    if (end > from) parent.append(shown(text.slice(from, end)));
  }

  /** @param {HTMLElement} parent @param {number} upTo Appends the numbers that stand up to there. */
  #number(parent, upTo) {
    while (this.notes.length > 0 && this.notes[0].at <= upTo) {
      const note = /** @type {Note} */ (this.notes.shift());
      parent.append(this.numberOf(note.source));
      this.#skipped = Math.max(this.#skipped, note.to);
    }
  }
}

/** @param {Note} note @param {Line[]} lines The note's place in the joined lines. */
function within({ at, to, source }, lines) {
  let base = 0;
  for (const { start, end } of lines) {
    if (at <= end) {
      const place = base + Math.max(0, at - start);
      return { at: place, to: place + to - at, source };
    }
    base += end - start + 1;
  }
  return { at: base, to: base, source };
}

/** @param {string} text @param {Inline} node A link tells where it leads to before it is followed. */
function link(text, node) {
  const label = text.slice(node.start, node.end);
  const href = node.href ?? "";
  const anchor = h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, shown(label));
  const host = hostOf(href) || href;
  return hostOf(label) === host ? anchor : [anchor, h("span", { class: "muted" }, ` (${host})`)];
}

/** @param {string} address */
function hostOf(address) {
  return URL.canParse(address) ? new URL(address).host : "";
}

const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

/** @param {string} text Control characters are seen, and stay of one letter's length. */
export function shown(text) {
  return text.replace(CONTROL, (letter) =>
    letter === "\u007f" ? "␡" : String.fromCharCode(0x2400 + letter.charCodeAt(0)));
}
