/** An answer as it is told: one event after the other, until it has ended. */

import type { Core } from "./core.js";
import { AnswerIncomplete, ConnectionBroken, KnowledgeBaseError } from "./errors.js";
import { ProtocolError } from "./errors.js";
import { type AnswerEvent, Collected, errorOf, eventOf } from "./events.js";
import type { Answer } from "./models.js";
import type { Request } from "./requests.js";
import { SseParser, type StreamLimits } from "./sse.js";
import type { Opened } from "./transport.js";

export const LIMITS: StreamLimits = { line: 16 * 1024 * 1024, event: 16 * 1024 * 1024 };

/** How long the end of the bytes is waited for behind the ending: the connection serves again. */
const LINGER_S = 1;

/**
 * An answer under way: iterate over its events, the last of which is `done`.
 *
 * Whatever ends it otherwise is thrown: what the server said as an `ApiError`, `AnswerIncomplete`
 * where the connection just ended, and the reason of your `signal`. Leaving the loop or `close`
 * ends the connection at once, and with it the server's work on the answer.
 *
 * The question goes out with the first event that is asked for. Once its answer has begun it is
 * never sent again: a second answer is another one, and costs again.
 */
export class AnswerStream implements AsyncIterable<AnswerEvent> {
  private readonly collected = new Collected();
  private readonly closed = new AbortController();
  private readonly onAbort = () => this.closed.abort(this.signal?.reason);
  private opening: Promise<Opened> | undefined;
  private response: Opened | undefined;
  private told: Told | undefined;

  /** @internal */
  constructor(
    private readonly core: Core,
    private readonly request: Request,
    private readonly limits: StreamLimits,
    private readonly signal?: AbortSignal,
  ) {
    if (signal?.aborted) this.onAbort();
    else signal?.addEventListener("abort", this.onAbort);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<AnswerEvent, void, undefined> {
    try {
      for (let event; (event = await this.next()) !== null; ) yield event;
    } finally {
      this.close();
    }
  }

  /** Until the answer's head is in; iterating does it by itself. */
  async open(): Promise<void> {
    this.opening ??= this.begin();
    this.response = await this.opening;
  }

  /** Reads what is still to come; the whole answer. */
  async collect(): Promise<Answer> {
    for await (const _ of this);
    return this.soFar;
  }

  /** What was told until now, also when it has ended badly. */
  get soFar(): Answer {
    return this.collected.answer();
  }

  /** What to name when you ask somebody about this answer; known once it has begun. */
  get requestId(): string | undefined {
    return this.response?.headers.get("X-Request-ID") ?? undefined;
  }

  /** Ends the connection, unless the answer was read to its end. Loops over it end, too. */
  close(): void {
    this.signal?.removeEventListener("abort", this.onAbort);
    this.closed.abort();
  }

  private async next(): Promise<AnswerEvent | null> {
    try {
      await this.open();
      const event = await (this.told as Told).next();
      if (event === null) this.close();
      else this.collected.take(event);
      return event;
    } catch (error) {
      // Closed from elsewhere while this waited, or before: an end that was asked for.
      if (this.isClosed && !this.signal?.aborted) return null;
      this.close();
      throw this.signal?.aborted ? this.signal.reason : error;
    }
  }

  private get isClosed(): boolean {
    return this.closed.signal.aborted;
  }

  private async begin(): Promise<Opened> {
    this.closed.signal.throwIfAborted();
    const response = await this.core.open(this.request, this.closed.signal);
    this.told = new Told(response, this.limits, this.core.timeouts.idle);
    return response;
  }
}

/** The events of an open answer. */
class Told {
  private readonly parser: SseParser;
  private readonly waiting: (AnswerEvent | KnowledgeBaseError)[] = [];
  private hasEnded = false;
  private silent = 0; // for how many seconds somebody has waited since the last sign of life
  private signs = 0;
  private seen = 0;

  constructor(
    private readonly response: Opened,
    limits: StreamLimits,
    private readonly idle: number,
  ) {
    this.parser = new SseParser(limits);
    const type = response.headers.get("Content-Type") ?? "";
    if (type.toLowerCase().startsWith("text/event-stream")) return;
    response.close();
    throw new ProtocolError("The answer is no event stream.");
  }

  /** The next event; `null` behind `done`. */
  async next(): Promise<AnswerEvent | null> {
    while (this.waiting.length === 0) {
      const data = await this.read();
      if (data !== null) this.take(data);
      else if (this.hasEnded) return null;
      else throw new AnswerIncomplete("The answer stopped without an ending.");
    }
    const first = this.waiting.shift() as AnswerEvent | KnowledgeBaseError;
    if (first instanceof KnowledgeBaseError) throw first;
    return first;
  }

  /** What breaks behind the ending breaks nothing. */
  private async read(): Promise<Uint8Array | null> {
    const began = performance.now();
    const late = `The answer has been silent for more than ${this.idle} s.`;
    try {
      const left = this.hasEnded ? LINGER_S : Math.max(this.idle - this.silent, 0);
      const data = await this.response.read(left, late);
      this.silent += (performance.now() - began) / 1000;
      return data;
    } catch (error) {
      if (this.hasEnded && error instanceof KnowledgeBaseError) return null;
      if (!(error instanceof ConnectionBroken)) throw error;
      throw new AnswerIncomplete(`The answer stopped without an ending: ${error.message}`, {
        cause: error,
      });
    }
  }

  /** A comment is a sign of life, as an event is. Bytes of a line that does not end are none. */
  private take(data: Uint8Array): void {
    if (this.hasEnded) return; // Nothing behind the ending is told.
    for (const sent of this.parser.feed(data)) {
      this.signs += 1;
      this.waiting.push(sent.name === "error" ? errorOf(sent.data) : eventOf(sent));
      this.hasEnded = sent.name === "error" || sent.name === "done";
      if (this.hasEnded) return;
    }
    const signs = this.signs + this.parser.comments;
    if (signs === this.seen) return;
    this.seen = signs;
    this.silent = 0;
  }
}
