/** `KnowledgeBase.documents`: documents of yours, or with `owner` of another user of your tenant. */

import type { Core } from "./core.js";
import { IngestFailed, ProtocolError, TimedOut } from "./errors.js";
import type { Document, DocumentPage, Uploaded } from "./models.js";
import { API, below, json, type Request } from "./requests.js";
import { open } from "./transport.js";
import type { UploadOptions } from "./uploads/state.js";
import type { Uploadable } from "./uploads/upload.js";

/** Seconds between two looks at a document that does not change. */
const [FIRST_POLL, LONGEST_POLL] = [0.25, 5];

export interface Owned {
  /** Another user of your tenant, if you are an admin. */
  owner?: string | undefined;
  /** Stops it: its reason is thrown. */
  signal?: AbortSignal | undefined;
}

export interface Watching extends Owned {
  /** Seconds until it is given up. */
  timeout?: number | undefined;
}

export class Documents {
  /** @internal */
  constructor(private readonly core: Core) {}

  /**
   * Sends a file straight to the store, with its SHA-256; large ones in parts.
   *
   * Throws `UploadInterrupted` where parts were sent, and then it failed: it has the state to
   * resume. `StoreRefused`, `FileChanged`, and in Node what the file system throws.
   *
   * @param file a `File` or `Blob`, or in Node a path
   */
  async upload(file: Uploadable, options: UploadOptions = {}): Promise<Uploaded> {
    const { upload } = await import("./uploads/upload.js");
    return upload(this.core, file, options);
  }

  /**
   * The document as it is, and each time that changed, until nothing more will happen.
   * Throws `TimedOut`.
   */
  async *watch(
    id: string,
    { owner, signal, timeout = Infinity }: Watching = {},
  ): AsyncGenerator<Document, void, undefined> {
    const end = performance.now() + timeout * 1000;
    let [poll, etag, last] = [0, "", ""];
    for (;;) {
      if (performance.now() > end) {
        throw new TimedOut(`Document ${id} was not indexed within ${timeout} s.`);
      }
      await this.core.sleep(poll, signal);
      poll = Math.min(Math.max(poll * 1.5, FIRST_POLL), LONGEST_POLL);
      const reply = await this.core.call(reading(id, owner, etag), signal);
      if (reply.status === 304 || reply.text === last) continue;
      [poll, etag, last] = [FIRST_POLL, reply.headers.get("ETag") ?? "", reply.text];
      const document = json(reply) as Document;
      yield document;
      if (isSettled(document)) return;
    }
  }

  /** Until it is indexed. Throws `IngestFailed` if it is not, and `TimedOut`. */
  async wait(id: string, options: Watching = {}): Promise<Document> {
    for await (const document of this.watch(id, options)) {
      if (document.status === "indexed") return document;
      if (isSettled(document)) throw new IngestFailed(document);
    }
    throw new ProtocolError("The last document that is watched is settled.");
  }

  async get(id: string, { owner, signal }: Owned = {}): Promise<Document> {
    return this.core.get(reading(id, owner), signal);
  }

  /** Some of them, newest first; `cursor` is the `next_cursor` of the page before. */
  page(
    options: Owned & { limit?: number | undefined; cursor?: string | undefined } = {},
  ): Promise<DocumentPage> {
    const { limit, cursor, owner, signal } = options;
    const path = `${API}/documents`;
    const query = { limit, cursor, owner };
    return this.core.get({ method: "GET", path, query, always: true }, signal);
  }

  /** All of them, newest first, a hundred with each request. */
  async *list(options: Owned = {}): AsyncGenerator<Document, void, undefined> {
    for (let cursor: string | undefined; ; ) {
      const page: DocumentPage = await this.page({ ...options, limit: 100, cursor });
      yield* page.documents;
      if (page.next_cursor === null) return;
      cursor = page.next_cursor;
    }
  }

  /**
   * From the index and from the store. After a failure do it again: it goes on, and `NOT_FOUND`
   * means that nothing is left.
   */
  async delete(id: string, { owner, signal }: Owned = {}): Promise<void> {
    const path = below("documents", id);
    await this.core.call({ method: "DELETE", path, query: { owner }, always: true }, signal);
  }

  /** Where the file is for a minute, for whoever has this address. */
  async contentUrl(id: string, { owner, signal }: Owned = {}): Promise<string> {
    const path = below("documents", id, "content");
    // Scripts of a page are not told where a redirect leads.
    const query = { owner, redirect: "false" };
    const request: Request = { method: "GET", path, query, always: true };
    const { url } = await this.core.get<{ url?: unknown }>(request, signal);
    if (typeof url !== "string") throw new ProtocolError("The answer has no address.");
    return url;
  }

  /** In Node: writes the file that was indexed to the path `to`, once it is whole. */
  async download(id: string, to: string, options: Owned = {}): Promise<void> {
    const url = await this.contentUrl(id, options);
    const { written } = await import("./uploads/node_source.js");
    const { refusedBy } = await import("./uploads/store.js");
    const { fetch, timeouts } = this.core;
    const response = await open(fetch, url, { credentials: "omit" }, timeouts.head, options.signal);
    const { status } = response;
    if (status !== 200) {
      throw refusedBy({ status, text: await response.text(timeouts.head, 1024 * 1024) });
    }
    try {
      await written(response, to, timeouts.head);
    } finally {
      response.close();
    }
  }
}

/** Nothing more will happen to it by itself. */
export function isSettled({ status }: Document): boolean {
  return status === "indexed" || status === "failed" || status === "expired";
}

function reading(id: string, owner: string | undefined, etag = ""): Request {
  const path = below("documents", id);
  const headers: Record<string, string> = etag === "" ? {} : { "If-None-Match": etag };
  return { method: "GET", path, query: { owner }, headers, always: true };
}
