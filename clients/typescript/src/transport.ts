/** Requests by `fetch`: their time-outs, what breaks, and the end of a connection. */

import { ConnectionBroken, type KnowledgeBaseError, NotConnected, TimedOut } from "./errors.js";
import { ProtocolError } from "./errors.js";

export type Fetch = typeof globalThis.fetch;

/** In seconds. */
export interface Timeouts {
  /** For the head of an answer, and between two reads of one that is no stream. */
  readonly head: number;
  /** Between two signs of life of a streamed answer; the server sends a comment every 15 s. */
  readonly idle: number;
  /** For an answer with `stream: false`, which comes all at once. */
  readonly wholeAnswer: number;
}

export const TIMEOUTS: Timeouts = { head: 60, idle: 60, wholeAnswer: 960 };

/**
 * What Node's `fetch` says of a connection that did not come about. Browsers say nothing, and
 * that a page is offline now does not mean that it was when the request went out.
 */
const NEVER_CONNECTED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|E(HOST|NET)UNREACH|UND_ERR_CONNECT_TIMEOUT|\w*CERT\w*|UNABLE_TO_\w+)$/;

/** An answer whose head is in. */
export class Opened {
  readonly status: number;
  readonly headers: Headers;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(
    response: Response,
    private readonly connection: Connection,
  ) {
    this.status = response.status;
    this.headers = response.headers;
    this.reader = response.body?.getReader();
  }

  /** The next bytes; `null` at the end. `seconds` may pass until they come. */
  async read(seconds: number, late: string): Promise<Uint8Array | null> {
    if (this.reader === undefined) return null;
    const { reader } = this;
    const { done, value } = await this.connection.within(seconds, late, () => reader.read());
    if (done) this.connection.release();
    return done ? null : value;
  }

  /** The rest as text, and closes it. Throws `ProtocolError` where it is larger than `limit`. */
  async text(seconds: number, limit: number): Promise<string> {
    const decoder = new TextDecoder();
    let [text, size] = ["", 0];
    try {
      for (let data; (data = await this.read(seconds, "No answer came in time.")) !== null; ) {
        size += data.length;
        if (size > limit) throw new ProtocolError(`The answer has more than ${limit} bytes.`);
        text += decoder.decode(data, { stream: true });
      }
      return text + decoder.decode();
    } finally {
      this.close();
    }
  }

  /** Ends the connection, unless the answer was read to its end. May be repeated. */
  close(): void {
    this.connection.end();
  }
}

/** What can be ended: by us, by the caller's signal, or by a clock. */
export class Connection {
  private readonly controller = new AbortController();
  private readonly onAbort = () => this.controller.abort(this.outer?.reason);

  constructor(private readonly outer: AbortSignal | undefined) {
    if (outer?.aborted) this.onAbort();
    else outer?.addEventListener("abort", this.onAbort);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /**
   * Does `work`, for so many seconds at most.
   *
   * Throws `TimedOut`, the reason of the caller's own signal, or what `translated` gives.
   */
  async within<T>(seconds: number, late: string, work: () => Promise<T>): Promise<T> {
    const timer = alarm(seconds, () => this.controller.abort(new TimedOut(late)));
    try {
      return await work();
    } catch (error) {
      this.release();
      throw this.signal.aborted ? this.signal.reason : translated(error);
    } finally {
      clearTimeout(timer);
    }
  }

  end(): void {
    this.release();
    this.controller.abort();
  }

  /** Nobody needs to be told any more that the caller's signal was raised. */
  release(): void {
    this.outer?.removeEventListener("abort", this.onAbort);
  }
}

/** Sends; gives the answer once its head is in. */
export async function open(
  fetch: Fetch,
  url: string,
  init: RequestInit,
  seconds: number,
  signal?: AbortSignal,
): Promise<Opened> {
  const connection = new Connection(signal);
  const response = await connection.within(seconds, "No answer came in time.", () =>
    // A redirect could lead a credential away, a cache could answer in the server's place.
    fetch(url, { redirect: "manual", cache: "no-store", ...init, signal: connection.signal }),
  );
  return new Opened(response, connection);
}

/** What `fetch` threw as one of ours. */
export function translated(error: unknown): KnowledgeBaseError {
  const cause = (error as { cause?: { code?: unknown; message?: unknown } } | null)?.cause;
  const why = String(cause?.message || cause?.code || (error as Error | null)?.message || error);
  if (NEVER_CONNECTED.test(String(cause?.code))) {
    return new NotConnected(`No connection came about: ${why}`, { cause: error });
  }
  return new ConnectionBroken(`The connection broke: ${why}`, { cause: error });
}

/** Calls it so much later; a timer that is set to more than 24 days, or to `Infinity`, rings at once. */
export function alarm(seconds: number, call: () => void): ReturnType<typeof setTimeout> {
  return setTimeout(call, Math.min(seconds * 1000, 2 ** 31 - 1));
}

/** What others wait for, too, and goes on for them. Throws the signal's reason when it is raised. */
export async function unlessAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return work;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Waits. Throws the signal's reason, at once, when it is raised. */
export function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = alarm(seconds, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    signal?.addEventListener("abort", stop, { once: true });
  });
}
