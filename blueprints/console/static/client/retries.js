import { ApiError, ConnectionBroken, NotConnected, TimedOut } from "./errors.js";
import { isKeyed } from "./requests.js";
const FIRST_WAIT = 0.5;
const LONGEST_BACKOFF = 8;
export const RETRIES = { times: 4, longestWait: 30 };
export function waitFor(retries, request, error, before) {
    if (before >= retries.times || !mayRepeat(request, error))
        return null;
    const asked = error instanceof ApiError ? error.retryAfter : undefined;
    if (asked !== undefined && asked > retries.longestWait)
        return null;
    const wait = backoff(before);
    return asked === undefined ? wait : asked + wait / 4;
}
export function backoff(before) {
    return Math.min(FIRST_WAIT * 2 ** before, LONGEST_BACKOFF) * (0.5 + Math.random() / 2);
}
const NOT_BEGUN = [
    "OVERLOADED",
    "DRAINING",
    "POLICY_UNAVAILABLE",
    "SHARED_STATE_UNAVAILABLE",
    "SIGN_IN_UNAVAILABLE",
];
export function mayBeDone(error) {
    if (!(error instanceof ApiError))
        return !(error instanceof NotConnected);
    return (error.status ?? 0) >= 500 && !NOT_BEGUN.includes(error.code);
}
function mayRepeat(request, error) {
    const always = request.always === true;
    if (error instanceof NotConnected)
        return !isUntrusted(error);
    if (error instanceof ConnectionBroken || error instanceof TimedOut)
        return always;
    if (!(error instanceof ApiError))
        return false;
    if (error.code === "CONFLICT")
        return isKeyed(request) && error.retryAfter !== undefined;
    if (error.status === 429)
        return true;
    if (error.status === 503)
        return always || error.retryAfter !== undefined;
    return always && [500, 502, 504].includes(error.status ?? 0);
}
function isUntrusted({ cause }) {
    const { code } = cause?.cause ?? {};
    return /CERT|^UNABLE_TO_/.test(String(code));
}
