// @ts-check
/** Who one is here, how long the sign-in lasts, and ending it everywhere. */
import { h, replace } from "../dom.js";
import { when } from "../format.js";
import { mayLookAtOthers, ownerForm } from "../owner.js";

export const title = "Account";

const WAYS = new Map([
  ["jwt", "name and password"],
  ["session", "the company's sign-in"],
  ["oidc", "a token of the company"],
  ["api_key", "an API key"],
]);

/** @typedef {import("../types").App} App */

/**
 * @param {HTMLElement} main
 * @param {App} app
 */
export async function show(main, app) {
  replace(
    main,
    h("h1", { tabindex: "-1" }, title),
    facts(app.me),
    ...(mayLookAtOthers(app.me) ? [others(app)] : []),
    signingOut(app),
  );
}

/** @param {App["me"]} me */
function facts(me) {
  const rows = [
    ...(me.name ? [["Name", me.name]] : []),
    ["User", h("span", { class: "mono" }, me.subject)],
    ["Organisation", h("span", { class: "mono" }, me.tenant)],
    ["Roles", me.roles.join(", ") || "none: you may look here and sign out"],
    ["Signed in by", WAYS.get(me.auth_method) ?? me.auth_method],
    ["Signed in until", me.expires_at ? when(me.expires_at) : "it is ended"],
    ...(me.scopes ? [["May do", me.scopes.join(", ")]] : []),
  ];
  const lines = rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)));
  return h("dl", { class: "counts card" }, ...lines);
}

/** @param {App} app */
function others(app) {
  return h(
    "section",
    { class: "card stack" },
    h("h2", null, "Another user's things"),
    h("p", null, `You are an admin: you may look at the documents, API keys and usage of the users of ${app.me.tenant}.`),
    ownerForm(app, () => app.go("#/documents")),
    h("p", { class: "muted" }, "Nobody lists users here. A name that does not exist has no documents and no keys."),
  );
}

/** @param {App} app */
function signingOut(app) {
  const here = h("button", { class: "button", onclick: () => void app.signOut({ allTokens: false }) }, "Sign out");
  const everywhere = h("button", { class: "button danger", onclick: () => void signOutEverywhere(app) }, "Sign out everywhere");
  return h(
    "section",
    { class: "card stack" },
    h("h2", null, "Sign out"),
    h("p", null, "Here: this sign-in ends. Everywhere: all that you have, on other machines too. API keys go on."),
    h("div", { class: "row" }, here, everywhere),
  );
}

/** @param {App} app */
async function signOutEverywhere(app) {
  const sure = await app.confirm({
    title: "Sign out everywhere?",
    text: "All your sign-ins end, on other machines too, and answers under way break off. API keys go on.",
    action: "Sign out everywhere",
    danger: true,
  });
  if (sure) await app.signOut({ allTokens: true });
}
