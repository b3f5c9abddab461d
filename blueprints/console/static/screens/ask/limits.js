// @ts-check
// What kept a question from being answered, in words, and when it can be asked again.

import { duration, number, timeOfDay } from "../../format.js";

/** @typedef {import("./records.js").Failure} Failure */

const UNITS = /** @type {Record<string, string>} */ ({ s: "second", m: "minute", h: "hour", d: "day" });
/** @type {Record<string, string>} */
const WHO = {
  subject: "you",
  key: "this API key",
  tenant: "your organisation",
  address: "your network address",
};
/** @type {Record<string, string>} */
const WHOSE = { subject: "Your", key: "This API key's", tenant: "Your organisation's" };
const SOON_S = 12 * 3600;
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** @param {Failure} failure Whether it is a limit or a budget that is reached. */
export function isLimit({ code }) {
  return code === "RATE_LIMITED" || code === "QUOTA_EXCEEDED";
}

/** @param {Failure} failure One or two sentences. */
export function limitWords(failure) {
  return failure.code === "QUOTA_EXCEEDED" ? quotaWords(failure) : rateWords(failure);
}

/** @param {Failure} failure */
function quotaWords({ details = {} }) {
  const [, per, , period] = String(details.quota ?? "").split("/");
  const of = period === "month" ? "this month" : "today";
  const spent = Number.isFinite(details.used) && Number.isFinite(details.limit)
    ? ` ${number(details.used)} of ${number(details.limit)} are used.` : "";
  return `${WHOSE[per] ?? "Your"} tokens for ${of} are spent.${spent}`;
}

/** @param {Failure} failure */
function rateWords({ details = {} }) {
  const allowed = String(details.allowed ?? "");
  const who = WHO[String(details.limit ?? "").split("/")[1]] ?? "you";
  const open = /^(\d+) open/.exec(allowed);
  if (open) {
    return `As many answers are under way as ${who} may have at once (${open[1]}).`
      + " When one has ended, the next can be asked for.";
  }
  return `That was as often as ${who} may ask for now${rateOf(allowed)}.`;
}

/** @param {string} allowed "60/m burst 10 per subject" */
function rateOf(allowed) {
  const found = /^(\d+)\/(\d*)([smhd])/.exec(allowed);
  if (!found) return "";
  const [, count, several, unit] = found;
  const per = several && several !== "1" ? `${several} ${UNITS[unit]}s` : `a ${UNITS[unit]}`;
  const times = count === "1" ? "once" : `${number(Number(count))} times`;
  return per.startsWith("a ") ? ` (${times} ${per === "a hour" ? "an hour" : per})` : ` (${times} in ${per})`;
}

/**
 * When it goes on.
 *
 * @param {Failure} failure
 * @param {number} now milliseconds
 */
export function goesOn({ goesOnAt }, now) {
  // What waits for another answer's end goes on at no known time.
  if (goesOnAt === undefined) return "";
  if (goesOnAt <= now) return "You can ask again now.";
  const seconds = Math.ceil((goesOnAt - now) / 1000);
  const at = seconds < SOON_S ? `at ${timeOfDay(goesOnAt)}` : `on ${moment.format(goesOnAt)}`;
  return `You can ask again in ${duration(seconds)}, ${at}.`;
}
