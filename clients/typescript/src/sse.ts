/**
 * Server-sent events out of bytes that come cut anywhere, by WHATWG's rules.
 *
 * Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
 */

import { ProtocolError } from "./errors.js";

/** `name` is `message` where the stream gave none; `data` has its lines joined by LF. */
export interface SseEvent {
  readonly name: string;
  readonly data: string;
}

/** What a stream may send at most, in characters: of a line, and of an event's data. */
export interface StreamLimits {
  readonly line: number;
  readonly event: number;
}

/**
 * Takes bytes, gives the events that they complete. What no blank line ends is no event.
 *
 * A letter whose bytes come in two pieces stays whole, bytes that are no UTF-8 become U+FFFD, and
 * one byte order mark at the very beginning is taken away: all of it is the decoder's doing.
 * What the standard keeps for a reconnection (`id`, `retry`) is not kept: an answer has none.
 */
export class SseParser {
  /** How many comment lines came so far: a sign of life between events. */
  comments = 0;
  private readonly decoder = new TextDecoder();
  private readonly lineEnd = /[\r\n]/g;
  private held: string[] = []; // of a line that has not ended yet
  private heldSize = 0;
  private afterCr = false; // a LF that follows belongs to that line's end
  private name = "";
  private data: string[] = [];
  private dataSize = 0;

  constructor(private readonly limits: StreamLimits) {}

  /** The events that `bytes` complete, in order. Throws `ProtocolError` for what is too large. */
  feed(bytes: Uint8Array): SseEvent[] {
    const text = this.decoder.decode(bytes, { stream: true });
    const found: SseEvent[] = [];
    let at = this.begin(text);
    for (let end = this.endFrom(text, at); end >= 0; end = this.endFrom(text, at)) {
      const event = this.take(this.line(text.slice(at, end)));
      if (event !== null) found.push(event);
      at = end + 1;
      if (text[end] === "\r") {
        if (at === text.length) this.afterCr = true;
        else if (text[at] === "\n") at += 1;
      }
    }
    this.hold(text.slice(at));
    return found;
  }

  private begin(text: string): number {
    if (!this.afterCr || text === "") return 0;
    this.afterCr = false;
    return text[0] === "\n" ? 1 : 0;
  }

  private endFrom(text: string, at: number): number {
    this.lineEnd.lastIndex = at;
    return this.lineEnd.exec(text)?.index ?? -1;
  }

  private hold(text: string): void {
    if (text === "") return;
    this.held.push(text);
    this.heldSize += text.length;
    if (this.heldSize > this.limits.line) {
      throw new ProtocolError(`A line has more than ${this.limits.line} characters.`);
    }
  }

  private line(last: string): string {
    this.hold(last);
    const whole = this.held.length === 1 ? (this.held[0] as string) : this.held.join("");
    this.held = [];
    this.heldSize = 0;
    return whole;
  }

  private take(line: string): SseEvent | null {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) this.comments += 1;
    else if (colon < 0) this.field(line, "");
    else this.field(line.slice(0, colon), line.slice(colon + (line[colon + 1] === " " ? 2 : 1)));
    return null;
  }

  private field(name: string, value: string): void {
    if (name === "event") this.name = value;
    if (name !== "data") return;
    this.data.push(value);
    this.dataSize += value.length + 1;
    if (this.dataSize > this.limits.event + 1) {
      throw new ProtocolError(`An event has more than ${this.limits.event} characters.`);
    }
  }

  private dispatch(): SseEvent | null {
    const { name, data } = this;
    this.name = "";
    this.data = [];
    this.dataSize = 0;
    return data.length === 0 ? null : { name: name || "message", data: data.join("\n") };
  }
}
