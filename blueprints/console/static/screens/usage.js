// @ts-check
/** What was used and what is left: tokens, budgets by day and month, limits, and keys. */
import { h, replace } from "../dom.js";
import { duration, number, when } from "../format.js";
import { allowedWords, lastTold, limitTitle, mostAtOnce } from "../limits.js";
import { refusedTitle } from "../owner.js";
import { problem } from "../problem.js";

export const title = "Usage and limits";

const PERIODS = new Map([["day", "Today"], ["month", "This month"]]);
const NEARLY = 0.9;

/**
 * @typedef {import("../types").App} App
 * @typedef {{per: string, period: string, begins_at: string, ends_at: string, prompt_tokens: number, completion_tokens: number, estimated_tokens: number, total_tokens: number}} Tokens
 * @typedef {{quota: string, per: string, limit: number, used: number, left: number, renews_at: string}} Quota
 * @typedef {{limit: string, per: string, allowed: string, left: number, retry_after_s: number}} Limit
 * @typedef {{key_id: string, last_used_at: string, tokens_day: number, tokens_month: number}} KeyUse
 * @typedef {{tenant: string, subject: string, counted: boolean, tokens: Tokens[], quotas: Quota[], limits: Limit[], keys: KeyUse[]}} Usage
 */

/**
 * @param {HTMLElement} main
 * @param {App} app
 */
export async function show(main, app) {
  const found = h("div", { class: "stack", "aria-busy": "true" }, h("p", { class: "muted" }, "Loading …"));
  const again = () => load(app, found);
  const heading = h("h1", { tabindex: "-1" }, app.owner ? `Usage of ${app.owner}` : title);
  const refresh = h("button", { class: "button", onclick: again }, "Refresh");
  replace(main, h("div", { class: "row between" }, heading, refresh), found);
  await again();
}

/**
 * @param {App} app
 * @param {HTMLElement} found
 */
async function load(app, found) {
  found.setAttribute("aria-busy", "true");
  const owner = app.owner ?? undefined;
  try {
    const [usage, names] = await Promise.all([app.kb.usage({ owner }), keyNames(app)]);
    replace(found, ...parts(app, usage, names));
  } catch (error) {
    replace(found, problem(error, { title: refusedTitle(app, error), again: () => load(app, found) }));
  } finally {
    found.setAttribute("aria-busy", "false");
  }
}

/**
 * Names of keys by their ids; where they cannot be had, the ids stand for them.
 * @param {App} app
 * @returns {Promise<Map<string, string>>}
 */
async function keyNames(app) {
  try {
    const keys = await app.kb.keys.list({ owner: app.owner ?? undefined });
    return new Map(keys.map(({ key_id, name }) => [key_id, name]));
  } catch {
    return new Map();
  }
}

/**
 * @param {App} app
 * @param {Usage} usage
 * @param {Map<string, string>} names
 */
function parts(app, usage, names) {
  return [
    tokens(usage),
    budgets(usage, app.owner),
    limits(usage, app.owner),
    ...(app.owner ? [] : addresses(usage)),
    ...(usage.keys.length ? [keys(usage.keys, names)] : []),
  ];
}

/**
 * @param {string} words
 * @param {...(HTMLElement | string)} children
 */
function section(words, ...children) {
  return h("section", { class: "stack part" }, h("h2", null, words), ...children);
}

/** @param {string} text */
function said(text) {
  return h("p", { class: "muted" }, text);
}

// --- tokens ----------------------------------------------------------------------------------------

/** @param {Usage} usage */
function tokens({ counted, tokens }) {
  if (!counted) return section("Tokens", said("This gateway does not count tokens."));
  const own = tokens.filter(({ per }) => per === "subject");
  return section("Tokens", h("div", { class: "cards" }, ...own.map(tokenCard)));
}

/** @param {Tokens} one */
function tokenCard(one) {
  const rows = [
    ["in questions and passages", one.prompt_tokens],
    ["in answers", one.completion_tokens],
    ["estimated, of answers that broke off", one.estimated_tokens],
  ];
  const list = rows.map(([words, count]) => h("div", null, h("dt", null, words), h("dd", null, number(Number(count)))));
  return h(
    "div",
    { class: "card" },
    h("h3", null, PERIODS.get(one.period) ?? one.period),
    h("p", { class: "figure" }, number(one.total_tokens), h("small", null, " tokens")),
    h("dl", { class: "counts" }, ...list),
    h("p", { class: "muted" }, "begins anew ", when(one.ends_at)),
  );
}

// --- budgets ---------------------------------------------------------------------------------------

/**
 * @param {Usage} usage
 * @param {string | null} owner
 */
function budgets({ counted, quotas }, owner) {
  if (!quotas.length) return section("Budgets", said(counted ? "No budget: tokens are counted and not limited." : "No budget: use as many tokens as you like."));
  const rank = (/** @type {Quota} */ one) => Number(one.quota.endsWith("/month"));
  const sorted = [...quotas].sort((one, other) => rank(one) - rank(other));
  return section("Budgets", ...sorted.map((one) => budget(one, owner)));
}

/**
 * @param {Quota} quota
 * @param {string | null} owner
 */
function budget(quota, owner) {
  const spent = quota.left <= 0;
  const period = quota.quota.endsWith("/month") ? "this month" : "today";
  const words = `${limitTitle(quota.quota, owner ?? undefined)}, ${period}`;
  return h(
    "div",
    { class: "card budget", dataset: { quota: quota.quota } },
    h("div", { class: "row between" }, h("h3", null, words), budgetBadge(quota)),
    meter(`${words}: used`, quota.used, quota.limit),
    h("p", null, `${number(quota.used)} of ${number(quota.limit)} tokens used, ${number(quota.left)} left`),
    h("p", { class: "muted" }, spent ? "Questions are refused until it begins anew " : "begins anew ", when(quota.renews_at)),
  );
}

/** @param {Quota} quota */
function budgetBadge({ used, limit, left }) {
  if (left <= 0) return h("span", { class: "badge bad" }, "Spent");
  if (used >= NEARLY * limit) return h("span", { class: "badge busy" }, "Nearly spent");
  return h("span", { class: "badge ok" }, "Within budget");
}

/**
 * @param {string} label
 * @param {number} used
 * @param {number} most
 */
function meter(label, used, most) {
  const value = String(Math.min(used, most));
  return h("progress", { class: used >= most ? "bar bad" : "bar", value, max: String(Math.max(most, 1)), "aria-label": label });
}

// --- limits ----------------------------------------------------------------------------------------

/**
 * @param {Usage} usage
 * @param {string | null} owner
 */
function limits({ limits }, owner) {
  if (!limits.length) return section("Limits", said("No limits: requests are not counted."));
  const heads = ["Of what", "Allowed", "Left now", "One more"];
  const rows = limits.map((one) => limitRow(one, owner));
  return section("Limits", table(heads, rows));
}

/**
 * @param {Limit} limit
 * @param {string | null} owner
 */
function limitRow({ limit, allowed, left, retry_after_s }, owner) {
  const title = limitTitle(limit, owner ?? undefined);
  const most = mostAtOnce(allowed);
  const bar = most === null ? [] : [meter(`${title}: used`, most - left, most)];
  return h(
    "tr",
    { dataset: { limit } },
    h("th", { scope: "row" }, title),
    h("td", { dataset: { label: "Allowed" } }, allowedWords(allowed)),
    h("td", { dataset: { label: "Left now" } }, h("span", null, left > 0 ? number(left) : "none"), ...bar),
    h("td", { dataset: { label: "One more" } }, oneMore(left, retry_after_s)),
  );
}

/**
 * @param {number} left
 * @param {number} retry_after_s
 */
function oneMore(left, retry_after_s) {
  if (left > 0) return "now";
  return retry_after_s > 0 ? `in ${duration(Math.ceil(retry_after_s))}` : "when one of them ends";
}

/**
 * Limits that `GET /usage` cannot know, as those by the client's address: what the last answer that
 * was counted said of them.
 * @param {Usage} usage
 */
function addresses({ limits, quotas }) {
  const known = new Set([...limits.map(({ limit }) => limit), ...quotas.map(({ quota }) => quota)]);
  const others = lastTold().filter(({ name }) => !known.has(name));
  if (!others.length) return [];
  const rows = others.map((one) =>
    h(
      "tr",
      { dataset: { limit: one.name } },
      h("th", { scope: "row" }, limitTitle(one.name)),
      h("td", { dataset: { label: "Allowed" } }, allowedOf(one)),
      h("td", { dataset: { label: "Left" } }, number(one.left)),
      h("td", { dataset: { label: "Seen" } }, when(new Date(one.seen_at).toISOString())),
    ),
  );
  return [section("As the last answers told", table(["Of what", "Allowed", "Left", "Seen"], rows))];
}

/** @param {import("../limits.js").Told} told */
function allowedOf({ most, window_s, burst, unit }) {
  if (window_s === null) return `${number(most)} at the same time`;
  const counted = unit === "kbg-tokens" ? "tokens " : "";
  const period = `${number(most)} ${counted}in ${duration(window_s)}`;
  return burst === null ? period : `${period}, ${number(burst)} of them at once`;
}

/**
 * @param {KeyUse[]} uses
 * @param {Map<string, string>} names
 */
function keys(uses, names) {
  const rows = uses.map((one) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, names.get(one.key_id) ?? h("span", { class: "mono" }, one.key_id)),
      h("td", { dataset: { label: "Last used" } }, when(one.last_used_at)),
      h("td", { dataset: { label: "Tokens today" } }, number(one.tokens_day)),
      h("td", { dataset: { label: "This month" } }, number(one.tokens_month)),
    ),
  );
  return section("API keys", table(["Key", "Last used", "Tokens today", "This month"], rows));
}

/**
 * @param {string[]} heads
 * @param {HTMLElement[]} rows
 */
function table(heads, rows) {
  const head = h("tr", null, ...heads.map((text) => h("th", { scope: "col" }, text)));
  return h("table", { class: "table folding" }, h("thead", null, head), h("tbody", null, ...rows));
}
