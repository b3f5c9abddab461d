/** The client of a knowledge base behind the Knowledge Base Gateway. */

export { AnswerStream } from "./answers.js";
export {
  type AskOptions,
  KnowledgeBase,
  type Options,
  type SearchOptions,
} from "./client.js";
export { type Documents, isSettled, type Owned, type Watching } from "./documents.js";
export * from "./errors.js";
export {
  type AnswerEvent,
  cited,
  type CitationEvent,
  type DoneEvent,
  type MetaEvent,
  type OtherEvent,
  type SourcesEvent,
  type TokenEvent,
  type UsageEvent,
} from "./events.js";
export type { Keys, NewKey } from "./keys.js";
export type {
  AccessToken,
  Answer,
  Citation,
  Document,
  DocumentPage,
  ErrorCode,
  Identity,
  Key,
  Passage,
  Scope,
  Uploaded,
  Usage,
  UsageReport,
} from "./models.js";
export type { Retries } from "./retries.js";
export type { Credentials } from "./session.js";
export type { StreamLimits } from "./sse.js";
export type { Fetch, Timeouts } from "./transport.js";
export type { Progress, UploadOptions, UploadState } from "./uploads/state.js";
export type { Uploadable } from "./uploads/upload.js";
