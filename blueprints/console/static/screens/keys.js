// @ts-check
/** API keys: made, rotated, revoked; those of another user may be seen and revoked by an admin. */
import { h, replace } from "../dom.js";
import { number, plural, when } from "../format.js";
import { mayLookAtOthers, refusedTitle } from "../owner.js";
import { problem } from "../problem.js";
import { askForKey, askForOverlap } from "./keys/form.js";
import { scopeWords } from "./keys/scopes.js";
import { showSecret } from "./keys/secret.js";

export const title = "API keys";

const SOON_MS = 7 * 24 * 3600 * 1000;
const MOST_SHOWN = 3;

/**
 * @typedef {import("../types").App} App
 * @typedef {{key_id: string, name: string, owner: string, scopes: string[], created_at: string, expires_at: string | null, revoked_at: string | null, secret?: string}} Key
 * @typedef {{key_id: string, last_used_at: string, tokens_day: number, tokens_month: number}} KeyUse
 * @typedef {{app: App, list: HTMLElement, load: () => Promise<void>}} Screen
 */

/**
 * @param {HTMLElement} main
 * @param {App} app
 */
export async function show(main, app) {
  const list = h("div", { class: "stack", "aria-busy": "true" }, h("p", { class: "muted" }, "Loading …"));
  /** @type {Screen} */
  const screen = { app, list, load: () => load(screen) };
  replace(main, head(screen), introduction(app), list);
  await screen.load();
}

/** @param {Screen} screen */
function head(screen) {
  const words = screen.app.owner ? `API keys of ${screen.app.owner}` : title;
  const bar = h("div", { class: "row between" }, h("h1", { tabindex: "-1" }, words));
  if (mayMake(screen.app)) {
    bar.append(h("button", { class: "button primary", onclick: () => make(screen) }, "New key"));
  }
  return bar;
}

/** @param {App} app */
function introduction(app) {
  const words = app.owner
    ? "You can see these keys and revoke them. Only their owner can make or rotate them."
    : "A key is for a program: it may do what you choose here, and never more than you may.";
  return h("p", { class: "muted" }, words);
}

/**
 * Keys are made by people, each for himself.
 * @param {App} app
 */
function mayMake(app) {
  return !app.owner && app.me.auth_method !== "api_key";
}

/** @param {Screen} screen */
async function load({ app, list, load }) {
  const owner = app.owner ?? undefined;
  try {
    const [keys, uses] = await Promise.all([app.kb.keys.list({ owner }), lastUses(app)]);
    replace(list, ...table({ app, list, load }, keys, uses));
  } catch (error) {
    replace(list, problem(error, { title: refusedTitle(app, error), again: load }));
  } finally {
    list.setAttribute("aria-busy", "false");
  }
}

/**
 * When each key was last used; null where nobody counts that or tells.
 * @param {App} app
 * @returns {Promise<Map<string, KeyUse> | null>}
 */
async function lastUses(app) {
  try {
    const usage = await app.kb.usage({ owner: app.owner ?? undefined });
    return usage.counted ? new Map(usage.keys.map((/** @type {KeyUse} */ one) => [one.key_id, one])) : null;
  } catch {
    // The keys are there all the same, and the column says that it does not know.
    return null;
  }
}

/**
 * @param {Screen} screen
 * @param {Key[]} keys
 * @param {Map<string, KeyUse> | null} uses
 */
function table(screen, keys, uses) {
  if (!keys.length) return [empty(screen)];
  const now = Date.now();
  const rank = (/** @type {Key} */ key) => (stateOf(key, now).ended ? 1 : 0);
  const sorted = [...keys].sort((one, other) => rank(one) - rank(other));
  const heads = ["Key", "May do", "State", "Last used", ""];
  const head = h("tr", null, ...heads.map((text) => h("th", { scope: "col" }, text || hidden("What to do"))));
  const rows = sorted.map((key) => row(screen, key, uses, now));
  const ended = keys.filter((key) => rank(key)).length;
  const counted = `${plural(keys.length - ended, "key", "keys")} in use, ${number(ended)} ended`;
  const foot = uses ? [] : [h("p", { class: "muted" }, "When a key was last used is not known here.")];
  return [
    h("p", { class: "muted" }, counted),
    h("table", { class: "table folding" }, h("thead", null, head), h("tbody", null, ...rows)),
    ...foot,
  ];
}

/** @param {Screen} screen */
function empty(screen) {
  const { owner } = screen.app;
  if (owner) return h("div", { class: "empty" }, h("p", null, `${owner} has no keys, or there is no such user.`));
  const make_one = h("button", { class: "button", onclick: () => make(screen) }, "Make the first one");
  return h("div", { class: "empty" }, h("p", null, "No keys yet. A program needs one to ask or to upload."), make_one);
}

/**
 * @param {Screen} screen
 * @param {Key} key
 * @param {Map<string, KeyUse> | null} uses
 * @param {number} now
 */
function row(screen, key, uses, now) {
  const state = stateOf(key, now);
  return h(
    "tr",
    { class: state.ended ? "ended" : "", dataset: { key: key.key_id } },
    h("th", { scope: "row" }, h("span", null, key.name), h("small", { class: "mono muted" }, key.key_id)),
    h("td", { dataset: { label: "May do" } }, scopes(key.scopes)),
    h("td", { dataset: { label: "State" } }, h("span", { class: `badge ${state.kind}` }, state.word), dates(key, state)),
    h("td", { dataset: { label: "Last used" } }, lastUse(key, uses)),
    h("td", { class: "actions" }, ...actions(screen, key, state)),
  );
}

/**
 * @param {Key} key
 * @param {number} now
 * @returns {{word: string, kind: "ok" | "busy" | "bad", ended: boolean}}
 */
export function stateOf(key, now) {
  if (key.revoked_at) return { word: "Revoked", kind: "bad", ended: true };
  if (!key.expires_at) return { word: "In use", kind: "ok", ended: false };
  const left = Date.parse(key.expires_at) - now;
  if (left <= 0) return { word: "Expired", kind: "bad", ended: true };
  return left < SOON_MS
    ? { word: "Expires soon", kind: "busy", ended: false }
    : { word: "In use", kind: "ok", ended: false };
}

/**
 * @param {Key} key
 * @param {{ended: boolean}} state
 */
function dates(key, { ended }) {
  const lines = [h("span", null, "made ", when(key.created_at))];
  if (key.revoked_at) lines.push(h("span", null, "revoked ", when(key.revoked_at)));
  else if (key.expires_at) lines.push(h("span", null, ended ? "expired " : "expires ", when(key.expires_at)));
  else lines.push(h("span", null, "does not expire"));
  return h("small", { class: "muted lines" }, ...lines);
}

/**
 * @param {Key} key
 * @param {Map<string, KeyUse> | null} uses
 */
function lastUse({ key_id }, uses) {
  const use = uses?.get(key_id);
  if (!use) return [h("span", { class: "muted" }, uses ? "no use seen" : "not known")];
  const spent = use.tokens_month && h("small", { class: "muted" }, `${number(use.tokens_month)} tokens this month`);
  return [when(use.last_used_at), spent];
}

/** @param {string[]} names */
function scopes(names) {
  const words = names.map((name) => h("li", { title: name }, scopeWords(name)));
  if (words.length <= MOST_SHOWN) return h("ul", { class: "plain" }, ...words);
  return h("details", null, h("summary", null, plural(names.length, "action", "actions")), h("ul", { class: "plain" }, ...words));
}

/**
 * @param {Screen} screen
 * @param {Key} key
 * @param {{ended: boolean}} state
 */
function actions(screen, key, { ended }) {
  if (ended) return [];
  const found = [];
  if (mayMake(screen.app)) {
    found.push(h("button", { class: "button", onclick: () => rotate(screen, key), "aria-label": `Rotate ${key.name}` }, "Rotate"));
  }
  found.push(h("button", { class: "button danger", onclick: () => revoke(screen, key), "aria-label": `Revoke ${key.name}` }, "Revoke"));
  return found;
}

/** @param {string} text */
function hidden(text) {
  return h("span", { class: "visually-hidden" }, text);
}

// --- what the buttons do ---------------------------------------------------------------------------

/** @param {Screen} screen */
async function make({ app, load }) {
  const made = await askForKey({
    admin: mayLookAtOthers(app.me),
    make: (wanted) => app.kb.keys.create(wanted),
  });
  if (made) await told(app, made, "Made. It works at once.", load);
}

/**
 * @param {Screen} screen
 * @param {Key} key
 */
async function rotate({ app, load }, key) {
  let overlap_s = 0;
  const rotated = await askForOverlap({
    name: key.name,
    rotate: (overlap) => {
      overlap_s = overlap;
      return app.kb.keys.rotate(key.key_id, { overlap });
    },
  });
  if (rotated) await told(app, rotated, untilWhen(overlap_s), load);
}

/** @param {number} overlap_s */
function untilWhen(overlap_s) {
  if (!overlap_s) return "The old secret has ended.";
  const at = new Date(Date.now() + overlap_s * 1000);
  return `The old secret works until ${at.toLocaleString()}.`;
}

/**
 * @param {App} app
 * @param {Key} key with its secret
 * @param {string} note
 * @param {() => Promise<void>} load
 */
async function told(app, key, note, load) {
  const shown = showSecret(app, { name: key.name, secret: key.secret ?? "", note });
  delete key.secret;
  await shown;
  await load();
}

/**
 * @param {Screen} screen
 * @param {Key} key
 */
async function revoke({ app, load }, key) {
  const sure = await app.confirm({
    title: `Revoke “${key.name}”?`,
    text: "Programs that use it are refused from now on, everywhere within 5 seconds. It cannot be undone.",
    action: "Revoke",
    danger: true,
  });
  if (!sure) return;
  try {
    await app.kb.keys.revoke(key.key_id, { owner: app.owner ?? undefined });
    app.notice(`“${key.name}” is revoked.`, { kind: "done" });
  } catch (error) {
    app.failed(error);
  }
  await load();
}
