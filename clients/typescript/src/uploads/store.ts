/** Requests to the object store: again while it fails for the moment, and no longer. */

import type { Core } from "../core.js";
import { ConnectionBroken, NotConnected, StoreRefused, TimedOut } from "../errors.js";
import { backoff } from "../retries.js";
import { alarm } from "../transport.js";
import type { Source, StoreReply, StoreRequest } from "./source.js";
import type { Tally } from "./tally.js";

/** What a store answers for the moment; 403 may be an address that has expired. */
const PASSING = [408, 429, 500, 502, 503, 504];

/** Sends until the store takes it; the same bytes may be sent as often as needed. */
export async function untilTaken(
  core: Core,
  source: Source,
  request: StoreRequest,
  tally: Tally,
  signal: AbortSignal,
): Promise<StoreReply> {
  for (let before = 0; ; before++) {
    try {
      return await once(core, source, request, tally, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (before >= core.retries.times || !isPassing(error)) throw error;
      await core.sleep(backoff(before), signal);
    }
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof StoreRefused) return PASSING.includes(error.status);
  const { name } = [ConnectionBroken, NotConnected, TimedOut].find((k) => error instanceof k) ?? {};
  return name !== undefined;
}

/** One try; what a failed one told is taken back. */
async function once(
  core: Core,
  source: Source,
  request: StoreRequest,
  tally: Tally,
  signal: AbortSignal,
): Promise<StoreReply> {
  const watched = new Watched(core.timeouts.head, signal);
  const sending = tally.sending();
  const onSent = (bytes: number) => {
    watched.moved();
    sending.has(bytes);
  };
  try {
    const reply = await source.send(request, onSent, watched.signal);
    if (reply.status < 200 || reply.status > 299) throw refusedBy(reply);
    sending.has(request.end - request.start);
    return reply;
  } catch (error) {
    sending.has(0);
    throw error;
  } finally {
    watched.end();
  }
}

export function refusedBy({ status, text }: Pick<StoreReply, "status" | "text">): StoreRefused {
  return new StoreRefused(status, /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(text)?.[1] ?? "");
}

/** Ends what does not move: nothing went out, and no answer came, for `seconds`. */
class Watched {
  private readonly controller = new AbortController();
  private readonly stop = () => this.controller.abort(this.outer.reason);
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly seconds: number,
    private readonly outer: AbortSignal,
  ) {
    if (outer.aborted) this.stop();
    outer.addEventListener("abort", this.stop);
    this.moved();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  moved(): void {
    clearTimeout(this.timer);
    const late = new TimedOut(`The object store has not moved for ${this.seconds} s.`);
    this.timer = alarm(this.seconds, () => this.controller.abort(late));
  }

  end(): void {
    clearTimeout(this.timer);
    this.outer.removeEventListener("abort", this.stop);
  }
}
