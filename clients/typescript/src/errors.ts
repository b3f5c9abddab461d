/**
 * What can go wrong. Everything here is a `KnowledgeBaseError`.
 *
 * An `ApiError` is what the knowledge base said, by an HTTP status or as an answer's last event;
 * its `code` tells which. The others happened on the way.
 */

import type { Document, ErrorCode } from "./models.js";
import type { UploadState } from "./uploads/state.js";

/** Base of all that this package throws for what others did. */
export class KnowledgeBaseError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No connection came about: nothing was sent. Browsers do not tell this from a broken one. */
export class NotConnected extends KnowledgeBaseError {}

/** The connection broke before the answer was whole: whether it was done is not known. */
export class ConnectionBroken extends KnowledgeBaseError {}

/** No answer came in time: whether it was done is not known. */
export class TimedOut extends KnowledgeBaseError {}

/** What answered does not speak as a knowledge base does. */
export class ProtocolError extends KnowledgeBaseError {}

/**
 * The stream stopped without an ending. What was told so far is true, and a part of an answer.
 * This is what a client sees of a server that died, or of a connection that was cut.
 */
export class AnswerIncomplete extends KnowledgeBaseError {}

/** The file cannot be read as it was: it changed, or is gone. */
export class FileChanged extends KnowledgeBaseError {}

/** The object store did not take the bytes, or did not give them. */
export class StoreRefused extends KnowledgeBaseError {
  /**
   * @param status its HTTP status
   * @param code its own word for the reason (`EntityTooLarge`, …), empty if it said none
   */
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(`The object store refused: ${status} ${code}`.trimEnd());
  }
}

/** An upload in parts did not come to its end; `cause` is why. */
export class UploadInterrupted extends KnowledgeBaseError {
  /** @param state what to give to `upload(file, { resume: state })` to go on where it stopped */
  constructor(
    readonly state: UploadState,
    options?: ErrorOptions,
  ) {
    const all = Math.ceil(state.size / state.part_size);
    const sent = `${Object.keys(state.etags).length} of ${all} parts were sent`;
    super(`The upload of document ${state.document_id} was interrupted: ${sent}.`, options);
  }
}

/** A document was not indexed: its `status` is `failed` or `expired`. */
export class IngestFailed extends KnowledgeBaseError {
  constructor(readonly document: Document) {
    const why = document.error ?? document.status;
    super(`Document ${document.document_id} was not indexed: ${why}`);
  }
}

/** What else was said of a failure, by its code. */
export interface ErrorDetails {
  /** What to name when you ask somebody about it. */
  request_id?: string;
  /** `FORBIDDEN`: finds the reason in the server's log. */
  decision_id?: string;
  /** `VALIDATION_ERROR`: what was expected of each wrong field. */
  fields?: Record<string, string>;
  /** `QUOTA_EXCEEDED`: when there are tokens again. */
  renews_at?: string;
  [name: string]: unknown;
}

export interface ApiErrorFacts {
  /** The HTTP status; none where it was said in the middle of an answer. */
  status?: number | undefined;
  details?: ErrorDetails;
  /** Seconds after which to try again, where it was said. */
  retryAfter?: number | undefined;
}

/** What the knowledge base refused or failed in. `message` is for people, and may change. */
export class ApiError extends KnowledgeBaseError {
  readonly status: number | undefined;
  readonly details: ErrorDetails;
  readonly retryAfter: number | undefined;

  constructor(
    /** For programs. A newer server may say one that this version does not know. */
    readonly code: ErrorCode,
    message: string,
    facts: ApiErrorFacts = {},
  ) {
    super(message);
    this.status = facts.status;
    this.details = facts.details ?? {};
    this.retryAfter = facts.retryAfter;
  }

  /** What to name when you ask somebody about it. */
  get requestId(): string | undefined {
    const found = this.details.request_id;
    return typeof found === "string" ? found : undefined;
  }

  override toString(): string {
    const about = this.requestId === undefined ? "" : ` (request ${this.requestId})`;
    return `${this.code}: ${this.message}${about}`;
  }
}

/** @internal What `{"error": …}` says; `null` where it is not of that shape. */
export function saidError(body: unknown, facts: ApiErrorFacts): ApiError | null {
  const error = property(body, "error");
  const code = property(error, "code");
  const message = property(error, "message");
  if (typeof code !== "string" || typeof message !== "string") return null;
  const found = property(error, "details");
  const details = { ...facts.details, ...(isObject(found) ? found : {}) };
  const after = property(details, "retry_after_s");
  const retryAfter = facts.retryAfter ?? (typeof after === "number" ? after : undefined);
  return new ApiError(code, message, { status: facts.status, details, retryAfter });
}

/** @internal */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function property(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined;
}
