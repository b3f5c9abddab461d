// @ts-check
/** The console: who is signed in, which screen is shown, and what happens when a session ends. */

import { KnowledgeBase } from "./client/index.js";
import { h } from "./dom.js";
import { timeOfDay } from "./format.js";
import { applyTheme, showAccount, showParts } from "./navigation.js";
import { forgetTold, noting } from "./limits.js";
import { announce, clearNotices, confirm, notice } from "./notices.js";
import { keptOwner, showBanner } from "./owner.js";
import { isLeaving, problem } from "./problem.js";
import { FIRST, Router, SIGN_IN, place } from "./router.js";
import { Session, takeStartToken, whose } from "./session.js";

/** How long before its end a session says so. */
const WARN_MS = 2 * 60 * 1000;
/** How long a refusal for now is waited out unseen; a longer wait is told to whoever waits. */
const RETRIES = { times: 2, longestWait: 2 };
/** What ends an answer under way because its session is over; no status comes with it. */
const ENDED = new Set(["TOKEN_EXPIRED", "CREDENTIAL_REVOKED"]);
/** The longest time a browser's timer can wait for. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const BASE = new URL(".", location.href).href.replace(/\/$/, "");
const COMPANY = meta("company-sign-in") === "on";

const main = /** @type {HTMLElement} */ (document.querySelector("main"));
const router = new Router(main);
const session = new Session();

/** @typedef {import("./types").App} App */

/** @type {number[]} */
let timers = [];
/** Why one is asked to sign in. */
let reason = "";
/** What goes on beside the screens, to be ended when somebody signs out. @type {(() => void)[]} */
const endings = [];

const app = {
  kb: client(),
  me: /** @type {any} */ (null),
  session,
  owner: /** @type {string | null} */ (null),
  notice,
  confirm,
  announce,
  go,
  failed,
  signal: () => router.signal,
  // What the sign-in screen alone needs.
  company: COMPANY,
  companyAddress: `${BASE}/api/v1/auth/oidc/start?return_to=${encodeURIComponent(location.pathname)}`,
  reason: () => reason,
  signIn,
  signOut,
  atSignOut: (/** @type {() => void} */ end) => void endings.push(end),
};

/** @param {string} name */
function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

function client() {
  const how = session.token ? { token: session.token } : { cookies: COMPANY };
  return new KnowledgeBase(BASE, { ...how, fetch: watched, retries: RETRIES });
}

const noted = noting((...request) => fetch(...request));

/** `fetch`, which sees when the server knows the session no more. @type {typeof fetch} */
async function watched(input, init) {
  const whose = app.kb;
  // A cookie of an older sign-in beside a token would be two credentials, which is refused.
  const how = session.token ? { ...init, credentials: /** @type {const} */ ("omit") } : init;
  const answer = await noted(input, how);
  if (answer.status === 401 && app.me && whose === app.kb) lapsed();
  return answer;
}

// --- signing in and out ---------------------------------------------------------------------------

/** Signs in with a name and a password; throws what the client throws. @param {string} username @param {string} password */
async function signIn(username, password) {
  // Whoever waits at a form is told so, and tries again himself.
  const issued = await new KnowledgeBase(BASE, { retries: { times: 0 } }).login(username, password);
  session.begin(issued.access_token, issued.expires_at);
  await enter();
  go(session.takePlace() ?? FIRST);
}

/** Asks who this is. Throws what the client throws. */
async function enter() {
  app.kb = client();
  const me = /** @type {import("./types").Me} */ (await app.kb.me());
  app.me = me;
  reason = "";
  session.claim(whose(me));
  app.owner = keptOwner(me);
  if (session.token) session.begin(session.token, me.expires_at);
  else session.beginWithCookie();
  clearNotices();
  expectTheEnd(session.expiresAt ?? (me.expires_at ? Date.parse(me.expires_at) : null));
}

/** @param {number | null} endsAt */
function expectTheEnd(endsAt) {
  timers.forEach(clearTimeout);
  timers = [];
  if (endsAt === null) return;
  const left = endsAt - Date.now();
  if (left > LONGEST_TIMER_MS) return;
  const words = `Your session ends at ${timeOfDay(endsAt)}. Sign in again to go on.`;
  const action = { label: "Sign in again", run: () => lapsed("Sign in again to go on where you were.") };
  timers = [
    window.setTimeout(() => notice(words, { action }), Math.max(left - WARN_MS, 0)),
    window.setTimeout(lapsed, Math.max(left, 0)),
  ];
}

/** The session is over, and somebody may want to go on. @param {unknown} [why] */
function lapsed(why) {
  leaveSession(typeof why === "string" ? why : "Your session has ended. Sign in again to go on where you were.");
  session.rememberPlace(location.hash);
  session.lapse();
  go(SIGN_IN);
}

/** @param {{allTokens?: boolean}} [options] */
async function signOut({ allTokens = false } = {}) {
  const { kb } = app;
  // That other machines are signed out is only said when it is so; and a cookie, which would sign in
  // whoever loads the page next, the server alone takes away.
  const words = allTokens ? "You are signed out everywhere." : "You are signed out.";
  if (allTokens || !session.token) return kb.logout({ allTokens }).then(() => signedOut(words), failed);
  signedOut(words);
  try {
    await kb.logout();
  } catch (error) {
    if (/** @type {any} */ (error)?.status === 401) return;
    notice("The server could not be told: the session there ends by itself later.", { kind: "error" });
  }
}

/** @param {string} words */
function signedOut(words) {
  forget(words);
  // The one that was there has the token.
  app.kb = client();
  go(SIGN_IN);
}

/** All that the tab has of whoever was here, and what goes on for him. @param {string} why */
function forget(why) {
  leaveSession(why);
  for (const end of endings.splice(0)) end();
  session.end();
}

/** @param {string} why */
function leaveSession(why) {
  app.me = null;
  app.owner = null;
  forgetTold();
  reason = why;
  expectTheEnd(null);
  clearNotices();
}

// --- screens --------------------------------------------------------------------------------------

/** @param {string} hash */
function go(hash) {
  if (location.hash === hash) void open();
  else location.hash = hash;
}

/** @param {unknown} error */
function failed(error) {
  if (isLeaving(error)) return;
  const { status, code } = /** @type {any} */ (error ?? {});
  if (status === 401 || ENDED.has(code)) {
    if (app.me) lapsed();
  } else notice(problem(error), { kind: "error" });
}

/** Opens what the address names; the sign-in where nobody is signed in. @returns {Promise<void>} */
async function open() {
  const found = place(location.hash);
  if (!app.me && found?.name !== "sign-in") {
    if (found) session.rememberPlace(location.hash);
    return history.replaceState(null, "", SIGN_IN), open();
  }
  if (!found || (app.me && found.name === "sign-in")) return history.replaceState(null, "", FIRST), open();
  showParts(found.name, Boolean(app.me));
  showAccount(app.me, () => void signOut());
  showBanner(app, () => void open());
  await router.open(found.name, found.params, app);
}

async function addressChanged() {
  const token = takeStartToken();
  if (token) return start(token);
  await open();
}

/** @param {string | null} token from the address */
async function start(token) {
  // A link of somebody else's must not put his sign-in in the place of one's own unasked.
  if (token && (session.token || app.me) && token !== session.token && !(await mayReplace())) return start(null);
  if (token) (forget(""), session.begin(token));
  if (session.token || COMPANY) await resume(token !== null);
  if (app.me && location.hash.length < 2) history.replaceState(null, "", session.takePlace() ?? FIRST);
  await open();
  if (token && app.me) notice(`The address you opened signed you in as ${app.me.name ?? app.me.subject}.`);
}

function mayReplace() {
  return confirm({
    title: "Sign in by this address?",
    text: "The address you opened brings another sign-in. What this tab keeps of yours is lost if you go on.",
    action: "Sign in by it",
  });
}

/** @param {boolean} fromAddress */
async function resume(fromAddress) {
  try {
    await enter();
  } catch (error) {
    if (isNoCredential(error)) return ended(fromAddress);
    main.replaceChildren(h("h1", null, "Knowledge base"), problem(error, { again: () => location.reload() }));
    // Whoever is signed in is not sent away because the network is gone.
    await new Promise(() => undefined);
  }
}

/**
 * What never signs anybody in: refused by the server, longer than a head may be, or nothing that can
 * be sent in one, which the client finds out. Kept, it would be in the way each time the page loads.
 *
 * @param {any} error
 */
function isNoCredential(error) {
  return [401, 403, 431].includes(error?.status) || error instanceof TypeError;
}

/** @param {boolean} fromAddress */
function ended(fromAddress) {
  if (session.token) reason = fromAddress ? "The address you opened is no longer valid." : "Your session has ended. Sign in again to go on where you were.";
  session.lapse();
}

/** A cookie is that of all tabs: another one may have signed somebody else in meanwhile. */
async function stillTheSame() {
  const { kb, me } = app;
  if (document.visibilityState !== "visible" || !me || session.token) return;
  // Whoever cannot be asked just now is asked by the next request.
  const now = await kb.me().catch(() => me);
  if (app.me === me && whose(now) !== whose(me)) location.reload();
}

/** "Skip to the content" is no place: the address stays that of the screen. @param {Event} event */
function skip(event) {
  event.preventDefault();
  main.focus();
}

applyTheme();
document.querySelector(".skip")?.addEventListener("click", skip);
addEventListener("hashchange", () => void addressChanged());
document.addEventListener("visibilitychange", () => void stillTheSame());
void start(takeStartToken());
