// @ts-check
/**
 * Limits in words, and what the heads of answers say of them: `RateLimit-Policy` and `RateLimit` of
 * draft-ietf-httpapi-ratelimit-headers, which are lists of structured fields (RFC 9651).
 */

/**
 * @typedef {{name: string, left: number, again_s: number | null, most: number, window_s: number | null, burst: number | null, unit: string, seen_at: number}} Told
 * What an answer's head told of one limit; `seen_at` in milliseconds.
 */

const COUNTED = new Map([
  ["query:run", "questions"],
  ["search:run", "searches"],
  ["probe:run", "probes"],
  ["*:*", "requests"],
  ["*", "requests and logins"],
  ["login", "logins"],
  ["socket", "sockets opened"],
  ["documents:*", "requests about documents"],
  ["keys:*", "requests about API keys"],
  ["mcp", "messages of agents"],
]);
const PER = new Map([
  ["key", "with one key"],
  ["tenant", "of all users of your organisation"],
  ["address", "from your address"],
  ["account", "of the account"],
]);
const UNITS = new Map([["s", "second"], ["m", "minute"], ["h", "hour"], ["d", "day"]]);

/**
 * What a limit's name says: `query:run/subject/m` is "Your questions".
 * @param {string} name
 * @param {string} [whose] in place of "your"
 */
export function limitTitle(name, whose) {
  const [actions, per] = name.split("/");
  const counted = COUNTED.get(actions) ?? `requests for ${actions}`;
  if (per === "subject") return `${whose ? `${whose}'s` : "Your"} ${counted}`;
  return `${counted[0].toUpperCase()}${counted.slice(1)} ${PER.get(per) ?? `per ${per}`}`;
}

/**
 * What a limit allows: `60/m burst 10` is "60 a minute, 10 of them at once".
 * @param {string} allowed
 */
export function allowedWords(allowed) {
  const open = /^(\d+) open$/.exec(allowed);
  if (open) return `${open[1]} at the same time`;
  const rate = /^(\d+)\/(\d*)([smhd])(?: burst (\d+))?$/.exec(allowed);
  if (!rate) return allowed;
  const [, count, times, unit, burst] = rate;
  const word = UNITS.get(unit);
  const period = times ? `in ${times} ${word}s` : word === "hour" ? "an hour" : `a ${word}`;
  return burst ? `${count} ${period}, ${burst} of them at once` : `${count} ${period}`;
}

/**
 * How many a limit lets through at once, by what it allows; null where that is not understood.
 * @param {string} allowed
 */
export function mostAtOnce(allowed) {
  const found = /^(\d+)(?: open|\/\d*[smhd](?: burst (\d+))?)$/.exec(allowed);
  return found ? Number(found[2] ?? found[1]) : null;
}

/**
 * The items of a list whose members are strings with numbers and strings as parameters.
 * @param {string | null} field
 * @returns {Map<string, Map<string, string>>}
 */
function items(field) {
  const found = new Map();
  for (const [, name, parameters] of (field ?? "").matchAll(/"([^"]*)"((?:;[^,]*)?)/g)) {
    const pairs = parameters.matchAll(/;([a-z*][a-z0-9_.*-]*)=("[^"]*"|[^;]*)/g);
    found.set(name, new Map([...pairs].map(([, key, value]) => [key, value.replaceAll('"', "")])));
  }
  return found;
}

/**
 * What an answer's head tells of limits.
 * @param {Headers} headers
 * @param {number} now milliseconds
 * @returns {Told[]}
 */
export function toldBy(headers, now) {
  const policies = items(headers.get("RateLimit-Policy"));
  return [...items(headers.get("RateLimit"))].map(([name, service]) => {
    const policy = policies.get(name) ?? new Map();
    return {
      name,
      left: Number(service.get("r")),
      again_s: numberOr(service.get("t")),
      most: Number(policy.get("q")),
      window_s: numberOr(policy.get("w")),
      burst: numberOr(policy.get("kbg-burst")),
      unit: policy.get("qu") ?? "requests",
      seen_at: now,
    };
  });
}

/** @param {string | undefined} text */
function numberOr(text) {
  return text === undefined ? null : Number(text);
}

/** What was told last, by the limit's name. @type {Map<string, Told>} */
const seen = new Map();

/**
 * `fetch` as the client uses it, which remembers what answers say of limits.
 * @param {typeof fetch} send
 * @returns {typeof fetch}
 */
export function noting(send) {
  return async (...request) => {
    const answer = await send(...request);
    for (const told of toldBy(answer.headers, Date.now())) seen.set(told.name, told);
    return answer;
  };
}

/** What was told of each limit, the latest first. */
export function lastTold() {
  return [...seen.values()].sort((one, other) => other.seen_at - one.seen_at);
}

/** Somebody else may sit here next. */
export function forgetTold() {
  seen.clear();
}
