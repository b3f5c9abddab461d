// @ts-check
/** What an API key may be allowed to do, in words; the actions are those of the policy. */

/**
 * @typedef {{action: string, words: string}} Scope
 * @typedef {{title: string, scopes: Scope[]}} ScopeGroup
 */

/** @type {ScopeGroup[]} */
export const GROUPS = [
  {
    title: "Questions",
    scopes: [
      { action: "query:run", words: "Ask questions" },
      { action: "search:run", words: "Search for passages" },
      { action: "probe:run", words: "Measure the way of a stream" },
    ],
  },
  {
    title: "Documents",
    scopes: [
      { action: "documents:list", words: "List documents" },
      { action: "documents:read", words: "See a document's state" },
      { action: "documents:content", words: "Open the files themselves" },
      { action: "documents:create", words: "Announce uploads" },
      { action: "documents:complete", words: "Finish uploads" },
      { action: "documents:delete", words: "Delete documents" },
    ],
  },
  {
    title: "Account",
    scopes: [
      { action: "auth:me", words: "See whose key it is" },
      { action: "usage:read", words: "See usage and limits" },
      { action: "keys:list", words: "List API keys" },
      { action: "keys:revoke", words: "Revoke API keys" },
    ],
  },
];

/** What only admins may do; a key of anybody else would be refused. @type {ScopeGroup} */
export const FOR_ADMINS = {
  title: "Other users",
  scopes: [
    { action: "documents:list:any-owner", words: "List anybody's documents" },
    { action: "documents:read:any-owner", words: "See the state of anybody's documents" },
    { action: "documents:content:any-owner", words: "Open anybody's files" },
    { action: "documents:delete:any-owner", words: "Delete anybody's documents" },
    { action: "keys:list:any-owner", words: "List anybody's API keys" },
    { action: "keys:revoke:any-owner", words: "Revoke anybody's API keys" },
    { action: "usage:read:any-owner", words: "See anybody's usage" },
  ],
};

/** What keys are usually made for. */
export const PRESETS = [
  { title: "Ask questions", actions: ["query:run", "search:run", "documents:list", "documents:read"] },
  {
    title: "Upload documents",
    actions: [
      "documents:create",
      "documents:complete",
      "documents:list",
      "documents:read",
    ],
  },
];

const WORDS = new Map(
  [...GROUPS, FOR_ADMINS].flatMap(({ scopes }) =>
    scopes.map(({ action, words }) => /** @type {[string, string]} */ ([action, words])),
  ),
);

/**
 * An action in words; one that is not known here by its name.
 * @param {string} action
 */
export function scopeWords(action) {
  return WORDS.get(action) ?? action;
}
