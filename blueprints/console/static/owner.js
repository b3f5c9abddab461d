// @ts-check
/**
 * Whose things are looked at: one's own, or, for an admin, those of another user of his tenant
 * (`?owner=`). Nobody lists users, so that their name is typed.
 */
import { h } from "./dom.js";
import { whose } from "./session.js";

/** What the gateway takes for a name. */
const NAME = "[a-z0-9][a-z0-9_\\-]{0,63}";
const KEPT = "console.owner";

/** @typedef {import("./types").App} App */

/**
 * Whether the default policy lets somebody look at another's things. Another policy may say
 * otherwise: then the answer is 403, which is told where it comes.
 * @param {{roles: string[]}} me
 */
export function mayLookAtOthers(me) {
  return me.roles.includes("admin");
}

/**
 * Whose things were looked at before this page was loaded again; only by the same admin.
 * @param {{subject: string, tenant: string, roles: string[]}} me
 * @returns {string | null}
 */
export function keptOwner(me) {
  const [by, owner] = (sessionStorage.getItem(KEPT) ?? "").split(" ");
  return by === whose(me) && mayLookAtOthers(me) && new RegExp(`^${NAME}$`).test(owner) ? owner : null;
}

/** Of the next who signs in nothing of this is known. */
export function forgetOwner() {
  sessionStorage.removeItem(KEPT);
}

/**
 * Looks at `owner`'s things from now on, or, with null, at one's own.
 * @param {App} app
 * @param {string | null} owner
 */
export function lookAt(app, owner) {
  app.owner = owner === app.me.subject ? null : owner;
  if (app.owner) sessionStorage.setItem(KEPT, `${whose(app.me)} ${app.owner}`);
  else forgetOwner();
  app.announce(app.owner ? `You are looking at ${app.owner}'s documents.` : "You are looking at your own documents.");
}

/**
 * The line over every screen while another user's things are shown.
 * @param {App} app
 * @param {() => void} changed called when one's own are shown again
 */
export function showBanner(app, changed) {
  document.querySelector(".owner-banner")?.remove();
  if (!app.me || !app.owner) return;
  const back = () => {
    lookAt(app, null);
    changed();
  };
  const banner = h(
    "div",
    { class: "owner-banner", role: "region", "aria-label": "Another user" },
    h("span", null, `You are looking at ${app.owner}'s documents`, ", keys and usage. Questions are still about your own."),
    h("button", { class: "button small", type: "button", onclick: back }, "Back to mine"),
  );
  document.querySelector("main")?.before(banner);
}

/**
 * The form in which an admin names another user.
 * @param {App} app
 * @param {(owner: string) => void} chosen
 */
export function ownerForm(app, chosen) {
  const name = h("input", {
    name: "owner",
    required: true,
    pattern: NAME,
    maxlength: "64",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    title: "Lower-case letters, digits, - and _",
  });
  const send = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    lookAt(app, name.value);
    chosen(name.value);
  };
  return h(
    "form",
    { class: "row", onsubmit: send },
    h("label", { class: "field" }, h("span", null, "User's name"), name),
    h("button", { class: "button", type: "submit" }, "Look at this user's"),
  );
}

/**
 * What a screen says of a refusal while another user's things are looked at; nothing of others.
 * @param {App} app
 * @param {unknown} error
 * @returns {string}
 */
export function refusedTitle({ owner }, error) {
  const refused = /** @type {any} */ (error)?.status === 403;
  return owner && refused ? `You may not look at ${owner}'s things: the policy does not let you.` : "";
}
