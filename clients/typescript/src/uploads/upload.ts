/** A file on its way: announced, sent as a form or in parts, completed. Loaded when it is needed. */

import type { Core } from "../core.js";
import { ApiError, KnowledgeBaseError, ProtocolError, UploadInterrupted } from "../errors.js";
import type { Uploaded, UploadTicket } from "../models.js";
import { API, below, keyed, posting } from "../requests.js";
import { formAround } from "./form.js";
import { Parts } from "./parts.js";
import type { Source } from "./source.js";
import type { UploadOptions, UploadState } from "./state.js";
import { untilTaken } from "./store.js";
import { Tally } from "./tally.js";

export type Uploadable = Blob | string | URL;

/** What `Documents.upload` says. */
export async function upload(
  core: Core,
  file: Uploadable,
  options: UploadOptions,
): Promise<Uploaded> {
  const source = await sourceOf(core, file);
  return new Upload(core, source, options).run();
}

async function sourceOf(core: Core, file: Uploadable): Promise<Source> {
  const isPage = typeof XMLHttpRequest !== "undefined" || typeof process === "undefined";
  if (file instanceof Blob && isPage) {
    const { BlobSource } = await import("./blob_source.js");
    return new BlobSource(file, core.fetch);
  }
  const { blobSource, pathSource } = await import("./node_source.js");
  return file instanceof Blob ? blobSource(file, core.fetch) : pathSource(file, core.fetch);
}

/** The whole way of one file to the store. */
class Upload {
  private readonly filename: string;
  private readonly tally: Tally;
  private sha256 = "";

  constructor(
    private readonly core: Core,
    private readonly source: Source,
    private readonly options: UploadOptions,
  ) {
    this.filename = options.filename ?? source.name;
    this.tally = new Tally(source.size, options.onProgress);
  }

  async run(): Promise<Uploaded> {
    const { signal, onDigest } = this.options;
    signal?.throwIfAborted();
    this.sha256 = await this.source.digest((bytes) => this.tally.read(bytes), signal);
    await onDigest?.(this.sha256);
    return (await this.resumed()) ?? this.fromTheStart();
  }

  /** Goes on with an upload if it is of this file, and still open. */
  private async resumed(): Promise<Uploaded | null> {
    const state = this.options.resume;
    if (state === undefined || !this.isOfThisFile(state)) return null;
    const tally = new Tally(this.source.size, this.options.onProgress);
    tally.read(this.source.size);
    try {
      return await this.inParts(state, tally);
    } catch (error) {
      // It is over: deleted, expired, or of other parts than it was.
      if (error instanceof UploadInterrupted && isOver(error.cause)) return null;
      throw error;
    }
  }

  private isOfThisFile(state: UploadState): boolean {
    return state.size === this.source.size && state.sha256 === this.sha256 && state.part_size > 0;
  }

  private async fromTheStart(): Promise<Uploaded> {
    const ticket = await this.announced();
    const { document_id } = ticket;
    this.options.onAnnounced?.(document_id);
    const { method, part_size } = ticket.upload;
    if (method === "POST") return this.asForm(ticket);
    if (method !== "MULTIPART" || !part_size) {
      throw new ProtocolError(`An upload by ${method} was not asked for.`);
    }
    const { size } = this.source;
    const state = { document_id, size, sha256: this.sha256, part_size, etags: {} };
    return this.inParts(state, this.tally);
  }

  private announced(): Promise<UploadTicket> {
    const { contentType, idempotencyKey, signal } = this.options;
    const { size } = this.source;
    const about = { filename: this.filename, size, sha256: this.sha256 };
    const body = { ...about, content_type: contentType };
    return this.core.get(keyed(posting(`${API}/documents`, body), idempotencyKey), signal);
  }

  private async asForm({ document_id, upload }: UploadTicket): Promise<Uploaded> {
    const { head, tail, contentType } = formAround(upload.fields ?? {});
    const headers = { "Content-Type": contentType };
    const whole = { start: 0, end: this.source.size, head, tail };
    const request = { method: "POST" as const, url: upload.url, headers, ...whole };
    const signal = this.options.signal ?? new AbortController().signal;
    await untilTaken(this.core, this.source, request, this.tally, signal);
    return this.completed(document_id, {});
  }

  private async inParts(state: UploadState, tally: Tally): Promise<Uploaded> {
    const { signal, onState, atOnce = 4 } = this.options;
    const parts = new Parts(this.core, this.source, state, tally, onState);
    try {
      const etags = await parts.send(atOnce, signal);
      return await this.completed(state.document_id, { parts: etags });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof KnowledgeBaseError)) throw error;
      throw new UploadInterrupted(parts.state, { cause: error });
    }
  }

  private async completed(document_id: string, body: object): Promise<Uploaded> {
    const path = below("documents", document_id, "complete");
    // By itself it may be repeated, with the same answer.
    await this.core.call(posting(path, body, { always: true }), this.options.signal);
    const { size } = this.source;
    return { document_id, filename: this.filename, size, sha256: this.sha256 };
  }
}

function isOver(error: unknown): boolean {
  const codes = ["NOT_FOUND", "CONFLICT", "VALIDATION_ERROR"];
  return error instanceof ApiError && codes.includes(error.code);
}
