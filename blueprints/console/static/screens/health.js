// @ts-check
/** How this gateway is, as anybody may ask: alive, ready, its parts, its version. */
import { h, replace } from "../dom.js";
import { timeOfDay } from "../format.js";
import { whileSeen } from "../polling.js";
import { deployment, partWords, STATES, WHOLE } from "./health/words.js";

export const title = "Health";

const EVERY_MS = 10_000;
const PATIENCE_MS = 8_000;

/**
 * @typedef {import("../types").App} App
 * @typedef {{status: string, dependencies: Record<string, string>}} Readiness
 * @typedef {{whole: HTMLElement, parts: HTMLElement, about: HTMLElement, asked: HTMLElement, status: string}} Screen
 */

/**
 * @param {HTMLElement} main
 * @param {App} app
 */
export async function show(main, app) {
  /** @type {Screen} */
  const screen = {
    whole: h("div", { class: "card", "aria-busy": "true" }, h("p", { class: "muted" }, "Asking …")),
    parts: h("div", null),
    about: h("dl", { class: "counts" }),
    asked: h("p", { class: "muted" }),
    status: "",
  };
  const about = h("section", { class: "stack" }, h("h2", null, "About this gateway"), screen.about);
  replace(main, h("h1", { tabindex: "-1" }, title), screen.whole, screen.parts, about, screen.asked);
  fact(screen, "Version", pageVersion());
  return whileSeen((signal) => ask(screen, app, signal), EVERY_MS);
}

/**
 * One look; gives whether the gateway answered.
 * @param {Screen} screen
 * @param {App} app
 * @param {AbortSignal} signal
 */
async function ask(screen, app, signal) {
  try {
    const [alive, ready] = await Promise.all([asked("healthz", signal), asked("readyz", signal)]);
    if (signal.aborted) return false;
    await tell(screen, app, alive, ready);
    return true;
  } catch {
    if (!signal.aborted) tellNothing(screen, app);
    return false;
  }
}

/**
 * No credential goes along: these routes are for anybody. They are found from the page, which a
 * proxy may have put below a path.
 * @param {string} path
 * @param {AbortSignal} signal
 */
async function asked(path, signal) {
  const began = performance.now();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  const answer = await fetch(path, { credentials: "omit", cache: "no-store", signal: limit });
  return { status: answer.status, body: await answer.json(), took_ms: performance.now() - began };
}

/**
 * @param {Screen} screen
 * @param {App} app
 * @param {{status: number, took_ms: number}} alive
 * @param {{status: number, body: Readiness}} ready
 */
async function tell(screen, app, alive, { body }) {
  const { status, dependencies } = body;
  const words = WHOLE.get(status) ?? { word: status, kind: "busy", text: "" };
  const names = Object.keys(dependencies);
  const away = names.filter((name) => dependencies[name] !== "ok");
  replace(
    screen.whole,
    h("div", { class: "row between" }, h("h2", null, words.word), h("span", { class: `badge ${words.kind}` }, status)),
    h("p", null, words.text),
  );
  screen.whole.setAttribute("aria-busy", "false");
  replace(screen.parts, h("ul", { class: "parts" }, ...names.map((name) => part(name, dependencies[name]))));
  fact(screen, "Answers after", `${Math.max(1, Math.round(alive.took_ms))} ms`);
  fact(screen, "Deployment", deployment(dependencies).join("; "));
  replace(screen.asked, `Asked at ${timeOfDay(Date.now())}, and again every ${EVERY_MS / 1000} s while you look.`);
  announce(screen, app, [status, ...away].join(), [words.word, ...away.map((name) => `${partWords(name).title}: ${state(dependencies[name]).word}`)].join(". "));
}

/**
 * @param {Screen} screen
 * @param {App} app
 */
function tellNothing(screen, app) {
  const text = "The gateway does not answer, or the network is away. It is asked again by itself.";
  replace(screen.whole, h("div", { class: "row between" }, h("h2", null, "No answer"), h("span", { class: "badge bad" }, "no answer")), h("p", null, text));
  screen.whole.setAttribute("aria-busy", "false");
  replace(screen.parts);
  announce(screen, app, "none", `No answer. ${text}`);
}

/**
 * Says aloud what changed, and not the same each time.
 * @param {Screen} screen
 * @param {App} app
 * @param {string} status
 * @param {string} text
 */
function announce(screen, app, status, text) {
  if (screen.status === status) return;
  screen.status = status;
  app.announce(text);
}

/**
 * @param {string} name
 * @param {string} found
 */
function part(name, found) {
  const { title, away } = partWords(name);
  const { word, kind } = state(found);
  const missed = found === "down" || found === "broken" ? [h("p", null, away)] : [];
  return h(
    "li",
    { class: "card", dataset: { part: name } },
    h("div", { class: "row between" }, h("h3", null, title), h("span", { class: `badge ${kind}` }, word)),
    h("small", { class: "mono muted" }, name),
    ...missed,
  );
}

/** @param {string} found */
function state(found) {
  return STATES.get(found) ?? { word: found, kind: "busy" };
}

/**
 * @param {Screen} screen
 * @param {string} name
 * @param {string} text
 */
function fact({ about }, name, text) {
  const rows = [...about.querySelectorAll("div")];
  const row = h("div", null, h("dt", null, name), h("dd", null, text));
  const before = rows.find((one) => one.querySelector("dt")?.textContent === name);
  if (before) before.replaceWith(row);
  else about.append(row);
}

/**
 * The version of the gateway that gave out this page; while replicas are being replaced, another one
 * may answer.
 */
function pageVersion() {
  return document.querySelector("meta[name=gateway-version]")?.getAttribute("content") ?? "not known";
}
