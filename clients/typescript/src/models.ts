/**
 * What the knowledge base tells, named as it is on the wire. Sizes are bytes, durations seconds,
 * times RFC 3339 in UTC. A field with a default may be missing. The types are those of its OpenAPI
 * document (`openapi.ts`, which a program writes).
 */

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

/** For programs; a newer server may say another one. */
export type ErrorCode = Schemas["Error"]["error"]["code"] | (string & {});

/** A fresh token, good for `expires_in` seconds. */
export type AccessToken = Schemas["Token"];

/** Who the knowledge base takes you for. `scopes` is `null` for a token: no narrowing. */
export type Identity = Schemas["Me"];

/** An API key. `secret` is there when it was just made or rotated, and never again. */
export type Key = Schemas["Key"];

/** What a key may be for. */
export type Scope = Schemas["NewKey"]["scopes"][number];

/** A document and how far its indexing is; `progress` is 0 to 1, if known. */
export type Document = Schemas["Document"];

/** Newest first; `next_cursor` is `null` on the last page. */
export type DocumentPage = Schemas["DocumentPage"];

/** A passage of a document; `score` is comparable within one answer only, larger is better. */
export type Passage = Schemas["Passage"];

/** `sources[source]` carries the answer's characters `start` to `end`: see `cited`. */
export type Citation = Schemas["Citation"];

/** What an answer cost. */
export type Usage = Schemas["Usage"];

/** What was used and what is left. */
export type UsageReport = Schemas["UsageFound"];

export type UploadTicket = Schemas["UploadTicket"];
export type PartPermission = Schemas["PartPermission"];

/** A whole answer, or what was told of one so far (then `finish_reason` is `null`). */
export interface Answer {
  answer: string;
  citations: Citation[];
  sources: Passage[];
  usage: Usage | null;
  finish_reason: string | null;
  query_id: string | null;
  model: string | null;
}

/** A document that is in the store whole, and is being indexed. */
export interface Uploaded {
  document_id: string;
  filename: string;
  size: number;
  sha256: string;
}
