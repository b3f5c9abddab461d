// @ts-check
/** The fields of an operation, to fill in. */

import { h, replace } from "../dom.js";
import { answerTypes } from "./openapi.js";
import { example, optionalFields } from "./schemas.js";

/** @typedef {import("./openapi.js").OpenApi} OpenApi */
/** @typedef {import("./openapi.js").Route} Route */
/** @typedef {import("./openapi.js").Parameter} Parameter */
/** @typedef {import("./openapi.js").Schema} Schema */
/** @typedef {import("./call.js").Filled} Filled */

/** What an operation's call takes, as fields; `filled` reads them. */
export class CallForm {
  /** @type {{parameter: Parameter, input: HTMLInputElement | HTMLSelectElement}[]} */
  #inputs = [];
  /** @type {HTMLTextAreaElement | null} */
  #body = null;
  #fault = h("p", { class: "fault", role: "status" });

  /**
   * @param {OpenApi} doc
   * @param {Route} route
   */
  constructor(doc, route) {
    this.doc = doc;
    this.id = route.operation.operationId;
    this.elements = [
      ...[...route.operation.parameters, ...accept(route)].map((one) => this.#parameter(one)),
      ...this.#bodyOf(route),
    ];
  }

  /** @returns {Filled} */
  filled() {
    const of = (/** @type {string} */ place) => Object.fromEntries(this.#inputs
      .filter(({ parameter, input }) => parameter.in === place && input.value !== "")
      .map(({ parameter, input }) => [parameter.name, input.value]));
    const body = this.#body?.value.trim() ? this.#body.value : null;
    return { path: of("path"), query: of("query"), headers: of("header"), body };
  }

  /** @param {Parameter} parameter */
  #parameter(parameter) {
    const id = `${this.id}-${parameter.name}`;
    const input = choice(this.doc, parameter, id) ?? field(parameter, id);
    this.#inputs.push({ parameter, input });
    return h("div", { class: "field" },
      h("label", { for: id }, h("code", null, parameter.name),
        h("span", { class: "quiet" }, ` ${parameter.in}${parameter.required ? "" : ", optional"}`)),
      h("div", { class: "row" }, input, parameter.name === "Idempotency-Key" && newKey(input)));
  }

  /** @param {Route} route */
  #bodyOf(route) {
    const schema = route.operation.requestBody?.content["application/json"]?.schema;
    if (schema === undefined) return [];
    const id = `${this.id}-body`;
    const needed = route.operation.requestBody?.required ?? false;
    const text = needed ? JSON.stringify(example(this.doc, schema), null, 2) : "";
    this.#body = h("textarea", {
      id, spellcheck: "false", rows: String(Math.max(3, text.split("\n").length + 1)),
      "aria-describedby": `${id}-fault`, oninput: () => this.#check(),
    }, text);
    this.#fault.id = `${id}-fault`;
    return [h("div", { class: "field" },
      h("label", { for: id }, "Body", h("span", { class: "quiet" }, needed ? " JSON" : " JSON, optional")),
      this.#body, this.#fault, this.#additions(schema))];
  }

  /**
   * Buttons that put the fields which may be left out into the body.
   *
   * @param {Schema} schema
   */
  #additions(schema) {
    const found = optionalFields(this.doc, schema);
    if (!found.length) return null;
    const buttons = found.map(([name, value]) =>
      h("button", { type: "button", class: "button small", onclick: () => this.#add(name, value) }, name));
    return h("details", { class: "additions" },
      h("summary", null, "Add a field"), h("div", { class: "row" }, buttons));
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  #add(name, value) {
    const body = this.#body;
    const given = body && this.#check(body.value.trim() || "{}");
    if (!body || !given || typeof given !== "object" || Array.isArray(given)) return;
    body.value = JSON.stringify({ ...given, [name]: value }, null, 2);
    body.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /**
   * Says what is wrong with the body; it may be sent all the same, to see what is answered.
   *
   * @param {string} [text]
   * @returns {unknown}
   */
  #check(text = this.#body?.value.trim() || "null") {
    try {
      const given = JSON.parse(text);
      this.#tell("");
      return given;
    } catch (error) {
      this.#tell(`This is no JSON: ${/** @type {Error} */ (error).message}`);
      return undefined;
    }
  }

  /** @param {string} fault */
  #tell(fault) {
    this.#body?.setAttribute("aria-invalid", String(fault !== ""));
    replace(this.#fault, fault);
  }
}

/**
 * @param {Parameter} parameter
 * @param {string} id
 */
function field(parameter, id) {
  return h("input", {
    id,
    name: parameter.name,
    autocomplete: "off",
    spellcheck: "false",
    // A path without it would be another route.
    required: parameter.in === "path",
  });
}

/**
 * A list to choose from, where the schema has one.
 *
 * @param {OpenApi} doc
 * @param {Parameter} parameter
 * @param {string} id
 */
function choice(doc, parameter, id) {
  const values = parameter.schema.enum;
  if (!values) return null;
  const options = ["", ...values.map(String)].map((one) => h("option", { value: one }, one || "any"));
  return h("select", { id, name: parameter.name }, options);
}

/**
 * Which of several kinds of answer is wanted.
 *
 * @param {Route} route
 * @returns {Parameter[]}
 */
function accept(route) {
  const types = answerTypes(route.operation);
  return types.length < 2 ? [] : [{ name: "Accept", in: "header", schema: { enum: types } }];
}

/** @param {HTMLInputElement | HTMLSelectElement} input */
function newKey(input) {
  const fill = () => {
    // `randomUUID` is there on secure origins alone.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    input.value = [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  return h("button", { type: "button", class: "button", onclick: fill }, "New key");
}
