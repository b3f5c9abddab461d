/** A `File` or `Blob` of a browser: hashed in a worker, sent by `XMLHttpRequest`. */

import { ConnectionBroken, FileChanged } from "../errors.js";
import { type Fetch, translated } from "../transport.js";
import { hashed } from "./hashing.js";
import type { Said } from "./sha256_worker.js";
import type { Source, StoreReply, StoreRequest } from "./source.js";

/** A browser does not say which of these it was. */
const UNREACHED = "The object store was not reached, hung up, or lets no page of this origin upload.";

/** What is smaller is hashed before a worker would have started. */
const WORTH_A_WORKER = 1024 * 1024;

export class BlobSource implements Source {
  readonly name: string;
  readonly size: number;

  constructor(
    private readonly file: Blob,
    private readonly fetch: Fetch,
  ) {
    this.name = "name" in file ? String(file.name) : "";
    this.size = file.size;
  }

  async digest(onRead: (bytes: number) => void, signal?: AbortSignal): Promise<string> {
    const worker = this.size < WORTH_A_WORKER ? null : startedWorker();
    try {
      const found = worker === null ? null : await inWorker(worker, this.file, onRead, signal);
      return found ?? (await hashed(this.file, onRead, signal));
    } catch (error) {
      signal?.throwIfAborted();
      throw new FileChanged(`The file cannot be read: ${error}`, { cause: error });
    } finally {
      worker?.terminate();
    }
  }

  async send(
    request: StoreRequest,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<StoreReply> {
    const { start, end, head, tail } = request;
    const parts = [head ?? "", this.file.slice(start, end), tail ?? ""];
    const body = new Blob(parts);
    if (typeof XMLHttpRequest === "undefined") return this.fetched(request, body, onSent, signal);
    const before = head?.length ?? 0;
    // The form around the file counts for nothing.
    const ofFile = (sent: number) => onSent(Math.min(Math.max(sent - before, 0), end - start));
    return sentByXhr(request, body, ofFile, signal).catch((error) => this.explained(error));
  }

  /** A browser does not say that it is the file that cannot be read any more. */
  private async explained(error: unknown): Promise<never> {
    if (!(error instanceof ConnectionBroken)) throw error;
    await this.file
      .slice(0, 1)
      .arrayBuffer()
      .catch((cause: unknown) => {
        throw new FileChanged("The file changed, or is gone.", { cause });
      });
    throw error;
  }

  /** A service worker has no `XMLHttpRequest`, and is told of a part when it is there. */
  private async fetched(
    { method, url, headers, start, end }: StoreRequest,
    body: Blob,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<StoreReply> {
    try {
      const init = { method, headers: { ...headers }, body, signal };
      const response = await this.fetch(url, { ...init, credentials: "omit" });
      onSent(end - start);
      const text = await response.text();
      return { status: response.status, etag: response.headers.get("ETag"), text };
    } catch (error) {
      signal.throwIfAborted();
      throw translated(error);
    }
  }
}

function startedWorker(): Worker | null {
  try {
    return new Worker(new URL("./sha256_worker.js", import.meta.url), { type: "module" });
  } catch {
    return null; // There are none here, or the page's policy allows none.
  }
}

/** `null` where the worker does not start. */
function inWorker(
  worker: Worker,
  file: Blob,
  onRead: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    // The worker is ended by whoever waits for this.
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    worker.onerror = (event) => {
      event.preventDefault();
      resolve(null);
    };
    worker.onmessage = ({ data }: MessageEvent<Said>) => {
      if ("read" in data) onRead(data.read);
      else if ("digest" in data) resolve(data.digest);
      else reject(new Error(data.failed));
    };
    worker.postMessage(file);
  });
}

function sentByXhr(
  { method, url, headers }: StoreRequest,
  body: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<StoreReply> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const stop = () => xhr.abort();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = ({ loaded }) => onSent(loaded);
    xhr.onload = () => {
      const { status, responseText: text } = xhr;
      resolve({ status, etag: xhr.getResponseHeader("ETag"), text });
    };
    xhr.onerror = () => reject(new ConnectionBroken(UNREACHED));
    xhr.onabort = () => reject(signal.reason);
    xhr.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) reject(signal.reason);
    else xhr.send(body);
  });
}
