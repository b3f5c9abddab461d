// @ts-check
/** What the parts of a gateway are for, and what is missed while one of them is away. */

/** @typedef {{title: string, away: string}} Part */

/** By the names that `GET /readyz` has. @type {Map<string, Part>} */
export const PARTS = new Map([
  ["core", { title: "Answers and search", away: "Questions fail, and documents cannot be listed, read or deleted." }],
  ["policy", { title: "Permissions", away: "Nobody is let do anything that was not decided a moment ago." }],
  ["storage", { title: "Files", away: "Nothing can be uploaded, and no file opened." }],
  ["keys", { title: "API keys", away: "Keys cannot be made, listed or revoked, and programs are refused soon." }],
  [
    "revocations",
    { title: "Signing out and revoking", away: "Signing out is refused, because it would not last everywhere." },
  ],
  ["temporal", { title: "Taking in of documents", away: "Nothing can be uploaded; what is being taken in waits." }],
  [
    "state",
    { title: "Counts that replicas share", away: "Each replica counts limits alone. Everything else goes on." },
  ],
  ["usage", { title: "Token budgets", away: "Nobody is held to a budget. What is used is counted later." }],
  ["oidc", { title: "Company sign-in", away: "New sign-ins with the company's provider may fail." }],
]);

/** The states of a part: in words, and as a badge. @type {Map<string, {word: string, kind: string}>} */
export const STATES = new Map([
  ["ok", { word: "Works", kind: "ok" }],
  ["down", { word: "Does not answer", kind: "bad" }],
  ["broken", { word: "Is set up wrongly", kind: "bad" }],
  ["unknown", { word: "Not asked yet", kind: "busy" }],
]);

/** The states of the whole. @type {Map<string, {word: string, kind: string, text: string}>} */
export const WHOLE = new Map([
  ["ok", { word: "All is well", kind: "ok", text: "Everything that this gateway needs answers." }],
  [
    "degraded",
    { word: "Degraded", kind: "busy", text: "A part does not answer. The rest goes on, and nothing has to be restarted." },
  ],
  [
    "unavailable",
    { word: "Not ready", kind: "bad", text: "This gateway starts, stops, or its policy is broken: it takes no requests now." },
  ],
]);

/**
 * A part in words; one that is not known here by its name.
 * @param {string} name
 * @returns {Part}
 */
export function partWords(name) {
  return PARTS.get(name) ?? { title: name, away: "What needs it fails until it is back." };
}

/**
 * What sort of gateway this is, as far as the parts that it has tell.
 * @param {Record<string, string>} dependencies
 */
export function deployment(dependencies) {
  const has = (/** @type {string} */ name) => name in dependencies;
  return [
    has("state") ? "counts limits together with its replicas (Redis)" : "counts limits for itself (no Redis)",
    has("oidc") ? "takes the company's sign-in" : "signs in with name and password",
    ...(has("usage") ? ["counts tokens"] : []),
  ];
}
