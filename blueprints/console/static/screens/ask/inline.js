// @ts-check
// What stands within a paragraph: emphasis, code, links and addresses. Each search for a closing
// mark is made once, so that a text of nothing but opening ones takes linear time.

/**
 * @typedef {object} Inline
 * @property {"text" | "code" | "strong" | "em" | "del" | "link"} type
 * @property {number} start
 * @property {number} end
 * @property {Inline[]} [children] of emphasis and links
 * @property {string} [href]
 */

const DEEPEST = 6;
const SPECIAL = /[\\`*_<[]|~~|!\[|https?:\/\//g;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const LINK = /!?\[((?:[^[\]\\]|\\.){1,500})\]\(<?((?:[^\s()<>]|\([^\s()<>]{0,500}\)){1,2000})>?(?:[ \t]{1,9}"[^"\n]{0,200}")?\)/y;
const AUTOLINK = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const ADDRESS = /https?:\/\/[^\s<>"`]{1,2000}/y;
const WORD = /[\p{L}\p{N}_]/u;
/** @type {Record<string, "strong" | "em" | "del">} */
const TYPES = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "del" };

/** @param {string} text @returns {Inline[]} */
export function inline(text) {
  return new Reader(text).read(0, text.length, 0);
}

class Reader {
  /** @type {Set<string>} Marks that no further one closes before an end: `mark:end`. */
  #unclosed = new Set();

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  /** @param {number} from @param {number} to @param {number} depth @returns {Inline[]} */
  read(from, to, depth) {
    /** @type {Inline[]} */
    const nodes = [];
    let plain = from;
    for (let at = this.#special(from, to); at < to; ) {
      const node = this.#node(at, to, depth);
      if (node) {
        if (at > plain) nodes.push({ type: "text", start: plain, end: at });
        if (node.end > at) nodes.push(node.inner);
        plain = node.end;
      }
      at = this.#special(node ? node.end : at + this.#run(at, to), to);
    }
    if (to > plain) nodes.push({ type: "text", start: plain, end: to });
    return nodes;
  }

  /** @param {number} from @param {number} to Where the next mark may be, else `to`. */
  #special(from, to) {
    SPECIAL.lastIndex = from;
    const found = SPECIAL.exec(this.text);
    return found && found.index < to ? found.index : to;
  }

  /** @param {number} at @param {number} to How often the letter there stands in a row. */
  #run(at, to) {
    let end = at + 1;
    while (end < to && this.text[end] === this.text[at]) end += 1;
    return end - at;
  }

  /**
   * @param {number} at
   * @param {number} to
   * @param {number} depth
   * @returns {{end: number, inner: Inline} | null}
   */
  #node(at, to, depth) {
    switch (this.text[at]) {
      case "\\": return this.#escaped(at, to);
      case "`": return this.#code(at, to);
      case "*": case "_": case "~": return this.#emphasis(at, to, depth);
      case "h": return this.#address(at, to);
      case "<": return this.#autolink(at, to);
      default: return this.#link(at, to);
    }
  }

  /** @param {number} at @param {number} to */
  #escaped(at, to) {
    if (at + 1 >= to || !PUNCTUATION.test(this.text[at + 1])) return null;
    return { end: at + 2, inner: text(at + 1, at + 2) };
  }

  /** @param {number} at @param {number} to */
  #code(at, to) {
    const run = this.#run(at, to);
    const close = this.#closingTicks(at + run, to, run);
    if (close < 0) return null;
    /** @type {Inline} */
    const inner = { type: "code", start: at + run, end: close };
    return { end: close + run, inner };
  }

  /** @param {number} from @param {number} to @param {number} run */
  #closingTicks(from, to, run) {
    const mark = `${"`".repeat(Math.min(run, 99))}:${to}`;
    if (this.#unclosed.has(mark)) return -1;
    for (let at = this.text.indexOf("`", from); at >= 0 && at < to; ) {
      const found = this.#run(at, to);
      if (found === run) return at;
      at = this.text.indexOf("`", at + found);
    }
    this.#unclosed.add(mark);
    return -1;
  }

  /** @param {number} at @param {number} to @param {number} depth */
  #emphasis(at, to, depth) {
    if (depth >= DEEPEST) return null;
    const run = this.#run(at, to);
    const letter = this.text[at];
    const sizes = letter === "~" ? [2] : run > 1 ? [2, 1] : [1];
    for (const size of sizes) {
      const from = at + size;
      if (!this.#opens(at, from, to)) continue;
      const close = this.#closing(letter.repeat(size), from, to);
      if (close <= from) continue;
      const children = this.read(from, close, depth + 1);
      const type = TYPES[letter.repeat(size)];
      return { end: close + size, inner: { type, start: from, end: close, children } };
    }
    return null;
  }

  /** @param {number} at @param {number} from @param {number} to */
  #opens(at, from, to) {
    if (from >= to || /\s/.test(this.text[from])) return false;
    return this.text[at] !== "_" || at === 0 || !WORD.test(this.text[at - 1]);
  }

  /** @param {string} mark @param {number} from @param {number} to Where it is closed, or -1. */
  #closing(mark, from, to) {
    const key = `${mark}:${to}`;
    if (this.#unclosed.has(key)) return -1;
    for (let at = from; at < to; ) {
      const letter = this.text[at];
      if (letter === "\\") at += 2;
      else if (letter === "`") at = this.#code(at, to)?.end ?? at + this.#run(at, to);
      else if (letter !== mark[0]) at += 1;
      else {
        const run = this.#run(at, to);
        if (this.#closes(mark, at, run, to)) return at + run - mark.length;
        at += run;
      }
    }
    this.#unclosed.add(key);
    return -1;
  }

  /** @param {string} mark @param {number} at @param {number} run @param {number} to */
  #closes(mark, at, run, to) {
    if (run < mark.length || /\s/.test(this.text[at - 1])) return false;
    if (mark.length === 1 && run === 2) return false;
    return mark[0] !== "_" || at + run >= to || !WORD.test(this.text[at + run]);
  }

  /** @param {number} at @param {number} to */
  #link(at, to) {
    const found = matchAt(LINK, this.text, at, to);
    const href = found && safe(found[2]);
    if (!found || !href) return null;
    const start = at + (this.text[at] === "!" ? 2 : 1);
    const end = start + found[1].length;
    // No link within a link: what stands in its brackets is text.
    return { end: at + found[0].length, inner: link(start, end, href, [text(start, end)]) };
  }

  /** @param {number} at @param {number} to */
  #autolink(at, to) {
    const found = matchAt(AUTOLINK, this.text, at, to);
    const href = found && safe(found[1]);
    if (!found || !href) return null;
    const [start, end] = [at + 1, at + 1 + found[1].length];
    return { end: at + found[0].length, inner: link(start, end, href, [text(start, end)]) };
  }

  /** @param {number} at @param {number} to */
  #address(at, to) {
    const found = matchAt(ADDRESS, this.text, at, to);
    // A full stop or a bracket behind an address belongs to the sentence.
    const address = found?.[0].replace(/[.,;:!?'")\]}*_~|]{1,50}$/, "") ?? "";
    const href = safe(address);
    if (!href) return null;
    const end = at + address.length;
    return { end, inner: link(at, end, href, [text(at, end)]) };
  }
}

/** @param {number} start @param {number} end @returns {Inline} */
function text(start, end) {
  return { type: "text", start, end };
}

/**
 * @param {number} start
 * @param {number} end
 * @param {string} href
 * @param {Inline[]} children
 * @returns {Inline}
 */
function link(start, end, href, children) {
  return { type: "link", start, end, href, children };
}

/** @param {RegExp} sticky @param {string} text @param {number} at @param {number} to */
function matchAt(sticky, text, at, to) {
  sticky.lastIndex = at;
  const found = sticky.exec(text);
  return found && at + found[0].length <= to ? found : null;
}

/** @param {string} address Its normal form; empty where it leads anywhere but to a page or mail. */
export function safe(address) {
  if (!URL.canParse(address)) return "";
  const url = new URL(address);
  return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : "";
}
