// @ts-check
/** The dialogs in which a key is made and rotated; each gives what was chosen, or null. */
import { h, replace } from "../../dom.js";
import { problem } from "../../problem.js";
import { FOR_ADMINS, GROUPS, PRESETS } from "./scopes.js";

const DAY_S = 24 * 3600;
const MOST_DAYS = 3650;

/** How long a key may last, as it is offered; "" is for ever, "other" a number of days. */
const EXPIRIES = [
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "a year"],
  ["other", "another number of days"],
  ["", "never"],
];

/** How long the old secret works on, in seconds. */
const OVERLAPS = [
  [String(DAY_S), "for a day"],
  ["3600", "for an hour"],
  [String(7 * DAY_S), "for a week"],
  ["0", "not at all: it may have leaked"],
];

/**
 * Asks for a new key's name, scopes and expiry, and has `make` make it; a refusal is shown in the
 * dialog, where it can be mended.
 * @template Made
 * @param {{admin: boolean, make: (wanted: {name: string, scopes: string[], expiresIn?: number}) => Promise<Made>}} options
 * @returns {Promise<Made | null>} what was made, or null where it was given up
 */
export function askForKey({ admin, make }) {
  const name = h("input", { name: "name", required: true, maxlength: "100", autocomplete: "off" });
  const expiry = expiryField();
  const scopes = scopeField(admin);
  const fields = [labelled("Name", name, "What will use it, for example “nightly import”."), expiry.element, scopes.element];
  return askIn("New API key", "Make the key", fields, () => {
    const chosen = scopes.chosen();
    if (!chosen.length) throw new Missing("Choose at least one thing that the key may do.");
    return make({ name: name.value, scopes: chosen, ...expiry.chosen() });
  });
}

/**
 * Asks how long the old secret works on, and has `rotate` do it.
 * @template Made
 * @param {{name: string, rotate: (overlap: number) => Promise<Made>}} options
 * @returns {Promise<Made | null>}
 */
export function askForOverlap({ name, rotate }) {
  const overlap = select("overlap", OVERLAPS);
  const words = h("p", null, `“${name}” gets a new secret, which works at once.`);
  const fields = [words, labelled("The old secret works on", overlap)];
  return askIn("Rotate a key", "Rotate", fields, () => rotate(Number(overlap.value)));
}

/** What was left out of a form; `message` says it to a person. */
class Missing extends Error {}

/**
 * @template Made
 * @param {string} title
 * @param {string} action
 * @param {HTMLElement[]} fields
 * @param {() => Promise<Made>} submit
 * @returns {Promise<Made | null>}
 */
function askIn(title, action, fields, submit) {
  const said = h("div", null);
  const send = h("button", { class: "button primary", type: "submit" }, action);
  const cancel = h("button", { class: "button", type: "button" }, "Cancel");
  const form = h("form", { class: "stack", method: "dialog" }, ...fields, said, h("div", { class: "row" }, send, cancel));
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "ask-title" }, h("h2", { id: "ask-title" }, title), form);
  cancel.addEventListener("click", () => dialog.close());
  // What is under way will have happened: its dialog stays until it can tell.
  dialog.addEventListener("cancel", (event) => send.disabled && event.preventDefault());
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const made = await tried(submit, said, [send, cancel]);
      if (made === undefined) return;
      resolve(made);
      dialog.close();
    });
    opened(dialog, () => resolve(null));
  });
}

/**
 * What `submit` gives; undefined where it failed, which is said in `said`.
 * @template Made
 * @param {() => Promise<Made>} submit
 * @param {HTMLElement} said
 * @param {HTMLButtonElement[]} buttons that wait for it
 * @returns {Promise<Made | undefined>}
 */
async function tried(submit, said, buttons) {
  if (buttons.some((one) => one.disabled)) return undefined;
  for (const one of buttons) one.disabled = true;
  replace(said);
  try {
    return await submit();
  } catch (error) {
    replace(said, error instanceof Missing ? h("p", { class: "warning", role: "alert" }, error.message) : problem(error));
    return undefined;
  } finally {
    for (const one of buttons) one.disabled = false;
  }
}

/**
 * Opens `dialog` and takes it off the page at its end, also when another screen is opened.
 * @param {HTMLDialogElement} dialog
 * @param {() => void} ended
 */
function opened(dialog, ended) {
  const leave = () => dialog.close();
  dialog.addEventListener("close", () => {
    dialog.remove();
    removeEventListener("hashchange", leave);
    ended();
  });
  addEventListener("hashchange", leave);
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {boolean} admin */
function scopeField(admin) {
  const groups = admin ? [...GROUPS, FOR_ADMINS] : GROUPS;
  const boxes = groups.flatMap(({ scopes }) => scopes.map(({ action }) => box(action)));
  const byAction = new Map(boxes.map((one) => [one.value, one]));
  const presets = PRESETS.map(({ title, actions }) => {
    const choose = () => boxes.forEach((one) => (one.checked = actions.includes(one.value)));
    return h("button", { class: "button small", type: "button", onclick: choose }, title);
  });
  const element = h(
    "fieldset",
    { class: "scopes" },
    h("legend", null, "What it may do"),
    h("div", { class: "row" }, h("span", { class: "muted" }, "Choose for:"), ...presets),
    ...groups.map((group) => scopeGroup(group, byAction)),
  );
  return { element, chosen: () => boxes.filter((one) => one.checked).map((one) => one.value) };
}

/**
 * @param {import("./scopes.js").ScopeGroup} group
 * @param {Map<string, HTMLInputElement>} boxes
 */
function scopeGroup({ title, scopes }, boxes) {
  const lines = scopes.map(({ action, words }) =>
    h("label", { class: "check" }, boxes.get(action), h("span", null, words, " ", h("small", { class: "mono muted" }, action))),
  );
  return h("div", { role: "group", "aria-label": title, class: "scope-group" }, h("h3", null, title), ...lines);
}

/**
 * @param {string} action
 * @returns {HTMLInputElement}
 */
function box(action) {
  return h("input", { type: "checkbox", name: "scope", value: action });
}

function expiryField() {
  const chosen = select("expiry", EXPIRIES);
  chosen.value = "90";
  const days = h("input", { type: "number", name: "days", min: "1", max: String(MOST_DAYS), value: "180" });
  const other = labelled("Days", days);
  other.hidden = days.disabled = true;
  chosen.addEventListener("change", () => {
    other.hidden = chosen.value !== "other";
    days.required = !other.hidden;
    // What is not seen must not keep the form from being sent.
    days.disabled = other.hidden;
  });
  const element = h("div", { class: "row" }, labelled("Expires in", chosen), other);
  const inDays = () => Number(chosen.value === "other" ? days.value : chosen.value);
  return { element, chosen: () => (chosen.value === "" ? {} : { expiresIn: inDays() * DAY_S }) };
}

/**
 * @param {string} name
 * @param {string[][]} options
 * @returns {HTMLSelectElement}
 */
function select(name, options) {
  return h("select", { name }, ...options.map(([value, text]) => h("option", { value }, text)));
}

/**
 * @param {string} text
 * @param {HTMLElement} input
 * @param {string} [hint]
 */
function labelled(text, input, hint) {
  const told = hint ? [h("small", { class: "muted" }, hint)] : [];
  return h("label", { class: "field" }, h("span", null, text), input, ...told);
}
