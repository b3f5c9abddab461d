import { ApiError, ProtocolError, saidError } from "./errors.js";
export const API = "/api/v1";
export function posting(path, body, more = {}) {
    const headers = { "Content-Type": "application/json", ...more.headers };
    return { method: "POST", path, body: JSON.stringify(body), ...more, headers };
}
export function keyed(request, key) {
    const headers = { ...request.headers, "Idempotency-Key": `"${key ?? randomHex()}"` };
    return { ...request, headers, always: true };
}
export function unkeyed(request) {
    const { "Idempotency-Key": _, ...headers } = request.headers ?? {};
    return { ...request, headers, always: false };
}
export function isKeyed(request) {
    return request.headers?.["Idempotency-Key"] !== undefined;
}
export function randomHex() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
export function below(group, ...names) {
    return [API, group, ...names.map(step)].join("/");
}
function step(id) {
    if (typeof id === "string" && id !== "." && id !== ".." && /^[\x00-\x7f]+$/.test(id)) {
        return encodeURIComponent(id);
    }
    throw new TypeError(`${JSON.stringify(id)} is no id.`);
}
export function json(reply) {
    try {
        return JSON.parse(reply.text);
    }
    catch {
        throw new ProtocolError(`The answer (${reply.status}) is not JSON.`);
    }
}
export function refusal(reply, now = Date.now()) {
    const { status, headers } = reply;
    const requestId = headers.get("X-Request-ID");
    const details = requestId === null ? {} : { request_id: requestId };
    const facts = { status, details, retryAfter: retryAfter(headers.get("Retry-After"), now) };
    let body;
    try {
        body = json(reply);
    }
    catch {
        body = null;
    }
    const unknown = new ApiError(`HTTP_${status}`, "This is no knowledge base's answer.", facts);
    return saidError(body, facts) ?? unknown;
}
export function retryAfter(text, now) {
    if (text === null)
        return undefined;
    if (/^\s*\d+\s*$/.test(text))
        return Number(text);
    const at = Date.parse(text);
    return Number.isNaN(at) ? undefined : Math.max(0, (at - now) / 1000);
}
