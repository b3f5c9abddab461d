/** What is sent, and what comes back, without how: plain values. */

import { ApiError, ProtocolError, saidError } from "./errors.js";

export const API = "/api/v1";

export interface Request {
  readonly method: "GET" | "POST" | "DELETE";
  /** Begins with a slash. */
  readonly path: string;
  readonly query?: Record<string, string | number | undefined>;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  /** May be sent again even where it may have been done: it changes nothing, or has a key. */
  readonly always?: boolean;
  /** Needs no credential. */
  readonly isPublic?: boolean;
  /** Seconds for the answer's head, where the client's own are not enough. */
  readonly timeout?: number | undefined;
}

/** An answer that was read whole. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A request with a JSON body; fields that are `undefined` are left out. */
export function posting(path: string, body: object, more: Partial<Request> = {}): Request {
  const headers = { "Content-Type": "application/json", ...more.headers };
  return { method: "POST", path, body: JSON.stringify(body), ...more, headers };
}

/** With an `Idempotency-Key`, so that it may be sent again whatever became of it. */
export function keyed(request: Request, key: string | undefined): Request {
  const headers = { ...request.headers, "Idempotency-Key": `"${key ?? randomHex()}"` };
  return { ...request, headers, always: true };
}

export function unkeyed(request: Request): Request {
  const { "Idempotency-Key": _, ...headers } = request.headers ?? {};
  return { ...request, headers, always: false };
}

export function isKeyed(request: Request): boolean {
  return request.headers?.["Idempotency-Key"] !== undefined;
}

/** 32 digits. `crypto.randomUUID` is missing in pages that came over plain HTTP. */
export function randomHex(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * An id is one step of the path, whatever it holds. Throws `TypeError` for what cannot be one: dots
 * alone lead elsewhere, however they are encoded.
 */
export function below(group: string, ...names: string[]): string {
  return [API, group, ...names.map(step)].join("/");
}

function step(id: string): string {
  if (typeof id === "string" && id !== "." && id !== ".." && /^[\x00-\x7f]+$/.test(id)) {
    return encodeURIComponent(id);
  }
  throw new TypeError(`${JSON.stringify(id)} is no id.`);
}

/** Throws `ProtocolError` for what is no JSON. */
export function json(reply: Reply): unknown {
  try {
    return JSON.parse(reply.text);
  } catch {
    throw new ProtocolError(`The answer (${reply.status}) is not JSON.`);
  }
}

/** What a refusal says; of one that is not in the knowledge base's shape, its status. */
export function refusal(reply: Reply, now = Date.now()): ApiError {
  const { status, headers } = reply;
  const requestId = headers.get("X-Request-ID");
  const details = requestId === null ? {} : { request_id: requestId };
  const facts = { status, details, retryAfter: retryAfter(headers.get("Retry-After"), now) };
  let body: unknown;
  try {
    body = json(reply);
  } catch {
    body = null;
  }
  const unknown = new ApiError(`HTTP_${status}`, "This is no knowledge base's answer.", facts);
  return saidError(body, facts) ?? unknown;
}

/** RFC 9110, 10.2.3: seconds, or a date. */
export function retryAfter(text: string | null, now: number): number | undefined {
  if (text === null) return undefined;
  if (/^\s*\d+\s*$/.test(text)) return Number(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - now) / 1000);
}
