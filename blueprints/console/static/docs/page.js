// @ts-check
/** The API page: every operation of the OpenAPI document, to read and to try. */

import { Credential } from "./credential.js";
import { h, replace } from "../dom.js";
import { byId } from "./by_id.js";
import { parts } from "./openapi.js";
import { permission, reference } from "./reference.js";
import { marked } from "./schemas.js";
import { searchIn } from "./search.js";
import { tryIt } from "./try_it.js";

/** @typedef {import("./openapi.js").OpenApi} OpenApi */
/** @typedef {import("./openapi.js").Route} Route */

/** @param {OpenApi} doc */
function show(doc) {
  const credential = new Credential(doc);
  replace(byId("about"), marked(doc.info.description));
  credential.show();
  const shown = parts(doc).map(({ tag, routes }) => part(doc, tag, routes, credential));
  byId("parts").prepend(...shown.map(({ element }) => link(element.id)));
  byId("routes").append(...shown.map(({ element }) => element));
  searchIn(shown);
  addEventListener("hashchange", follow);
  follow();
}

/**
 * @param {OpenApi} doc
 * @param {string} tag
 * @param {Route[]} routes
 * @param {Credential} credential
 */
function part(doc, tag, routes, credential) {
  const operations = routes.map((route) => ({
    element: operation(doc, route, credential),
    text: `${route.method} ${route.path} ${route.operation.summary} ${tag} ${
      route.operation["x-action"] ?? ""}`.toLowerCase(),
  }));
  const all = operations.map(({ element }) => element);
  return { element: h("section", { id: tag }, h("h2", null, tag), all), operations };
}

/**
 * An operation; what is inside is made when it is first opened.
 *
 * @param {OpenApi} doc
 * @param {Route} route
 * @param {Credential} credential
 * @returns {HTMLElement}
 */
function operation(doc, { path, method, operation: told }, credential) {
  const box = h("details", { id: told.operationId, class: "operation" },
    h("summary", null, h("span", { class: `method ${method.toLowerCase()}` }, method),
      h("code", null, path), h("span", { class: "quiet" }, told.summary)));
  box.addEventListener("toggle", () => {
    if (!box.open) return;
    history.replaceState(null, "", `#${box.id}`);
    if (box.childElementCount > 1) return;
    box.append(h("div", { class: "inside" }, permission(told),
      tryIt(doc, { path, method, operation: told }, credential), reference(doc, told)));
  });
  return box;
}

/** @param {string} tag */
function link(tag) {
  return h("a", { href: `#${tag}` }, tag);
}

/** Opens what the address names. */
function follow() {
  const named = document.getElementById(location.hash.slice(1));
  if (!(named instanceof HTMLElement)) return;
  if (named instanceof HTMLDetailsElement) named.open = true;
  named.scrollIntoView();
  (named.querySelector("summary") ?? named).focus();
}

fetch("openapi.json")
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => replace(byId("about"), `The document could not be loaded: ${error}`));
