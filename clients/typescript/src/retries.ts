/** Whether a request that failed is sent again, and when. */

import { ApiError, ConnectionBroken, NotConnected, TimedOut } from "./errors.js";
import { isKeyed, type Request } from "./requests.js";

const FIRST_WAIT = 0.5;
const LONGEST_BACKOFF = 8;

export interface Retries {
  /** How often a request is sent again at most; 0 for never. */
  readonly times: number;
  /** Seconds; where the server asks for a longer wait, the error is yours at once. */
  readonly longestWait: number;
}

export const RETRIES: Retries = { times: 4, longestWait: 30 };

/**
 * Seconds until it is sent again, `null` where it is not; `before` were sent before.
 *
 * What was surely not done may be sent again: no connection came about, or the server refused it
 * for the moment (429, 503). Where it may have been done, it has to be harmless.
 */
export function waitFor(
  retries: Retries,
  request: Request,
  error: unknown,
  before: number,
): number | null {
  if (before >= retries.times || !mayRepeat(request, error)) return null;
  const asked = error instanceof ApiError ? error.retryAfter : undefined;
  if (asked !== undefined && asked > retries.longestWait) return null;
  const wait = backoff(before);
  // Those who were refused together are not to come again together.
  return asked === undefined ? wait : asked + wait / 4;
}

export function backoff(before: number): number {
  return Math.min(FIRST_WAIT * 2 ** before, LONGEST_BACKOFF) * (0.5 + Math.random() / 2);
}

/** Refused at the door: other failures of a server may come between two steps of the work. */
const NOT_BEGUN = [
  "OVERLOADED",
  "DRAINING",
  "POLICY_UNAVAILABLE",
  "SHARED_STATE_UNAVAILABLE",
  "SIGN_IN_UNAVAILABLE",
];

/** Whether a request that failed so may have been done all the same, or the half of it. */
export function mayBeDone(error: unknown): boolean {
  if (!(error instanceof ApiError)) return !(error instanceof NotConnected);
  return (error.status ?? 0) >= 500 && !NOT_BEGUN.includes(error.code);
}

function mayRepeat(request: Request, error: unknown): boolean {
  const always = request.always === true;
  // A certificate that is not trusted now will not be in a second.
  if (error instanceof NotConnected) return !isUntrusted(error);
  if (error instanceof ConnectionBroken || error instanceof TimedOut) return always;
  if (!(error instanceof ApiError)) return false;
  // The same request with this key is under way.
  if (error.code === "CONFLICT") return isKeyed(request) && error.retryAfter !== undefined;
  if (error.status === 429) return true;
  if (error.status === 503) return always || error.retryAfter !== undefined;
  return always && [500, 502, 504].includes(error.status ?? 0);
}

function isUntrusted({ cause }: NotConnected): boolean {
  const { code } = (cause as { cause?: { code?: unknown } } | undefined)?.cause ?? {};
  return /CERT|^UNABLE_TO_/.test(String(code));
}
