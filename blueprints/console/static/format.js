// @ts-check
/** How numbers, sizes and times are written. */

import { h } from "./dom.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const whole = new Intl.NumberFormat("en");
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "long" });
const clock = new Intl.DateTimeFormat("en", { timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** @param {number} n 1,234,567 */
export function number(n) {
  return whole.format(n);
}

/** @param {number} n bytes; "1.2 MiB" */
export function bytes(n) {
  const power = n < 1024 ? 0 : Math.min(Math.floor(Math.log2(n) / 10), UNITS.length - 1);
  return `${oneDigit.format(n / 1024 ** power)} ${UNITS[power]}`;
}

/** @param {number} n @param {string} one @param {string} [many] "1 file", "3 files" */
export function plural(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

/** @param {number} seconds "45 s", "3 min", "2 h 5 min", "4 days" */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours < 48) return rest ? `${hours} h ${rest} min` : `${hours} h`;
  return plural(Math.round(hours / 24), "day");
}

/**
 * A moment as people say it, with the exact one in its title.
 *
 * @param {string | null | undefined} iso RFC 3339; none is a dash
 * @param {number} [now] milliseconds
 * @returns {HTMLElement}
 */
export function when(iso, now = Date.now()) {
  if (!iso) return h("span", { class: "muted" }, "–");
  const at = new Date(iso);
  return h("time", { datetime: iso, title: exact.format(at) }, said(at, now));
}

/** @param {Date} at @param {number} now */
function said(at, now) {
  const seconds = Math.round((at.getTime() - now) / 1000);
  const away = Math.abs(seconds);
  if (away < 45) return seconds <= 0 ? "just now" : "in a moment";
  if (away < 3600) return relative.format(Math.round(seconds / 60), "minute");
  if (away < 12 * 3600) return relative.format(Math.round(seconds / 3600), "hour");
  return away < 300 * 86400 ? moment.format(at) : day.format(at);
}

/** The time of day. @param {number | Date} at */
export function timeOfDay(at) {
  return clock.format(at);
}
