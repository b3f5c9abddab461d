/** The parts of one upload, several at once. */

import type { Core } from "../core.js";
import { ProtocolError, StoreRefused } from "../errors.js";
import type { PartPermission } from "../models.js";
import { below, posting } from "../requests.js";
import type { Source, StoreReply } from "./source.js";
import type { UploadState } from "./state.js";
import { untilTaken } from "./store.js";
import type { Tally } from "./tally.js";

/** How many addresses are asked for in one call: so many as are sent before they expire. */
const SIGNED_AT_ONCE = 4;

export class Parts {
  private readonly failed = new AbortController();
  private readonly todo: number[];
  private readonly ready: PartPermission[] = [];
  private signing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly core: Core,
    private readonly source: Source,
    public state: UploadState,
    private readonly tally: Tally,
    private readonly onState: ((state: UploadState) => void) | undefined,
  ) {
    const all = Math.ceil(state.size / state.part_size);
    const numbers = Array.from({ length: all }, (_, index) => index + 1);
    this.todo = numbers.filter((n) => state.etags[n] === undefined);
  }

  /** Sends what the store does not have; gives what it answered to all. */
  async send(atOnce: number, signal?: AbortSignal): Promise<{ n: number; etag: string }[]> {
    const stop = () => this.failed.abort(signal?.reason);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop);
    this.tally.had(Object.keys(this.state.etags).reduce((sum, n) => sum + this.size(+n), 0));
    this.onState?.(this.state);
    try {
      const workers = Math.min(atOnce, this.todo.length);
      await this.together(Array.from({ length: workers }, () => this.work()));
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    const etags = Object.entries(this.state.etags).map(([n, etag]) => ({ n: Number(n), etag }));
    return etags.sort((one, other) => one.n - other.n);
  }

  /** The first failure stops the others, and is thrown once none is under way any more. */
  private async together(works: Promise<void>[]): Promise<void> {
    for (const work of works) work.catch((error: unknown) => this.failed.abort(error));
    await Promise.allSettled(works);
    this.failed.signal.throwIfAborted();
  }

  private async work(): Promise<void> {
    for (let part; (part = await this.next()) !== undefined; ) await this.sendPart(part);
  }

  /** All take from one queue, one after the other, so that a part that is slow holds no other up. */
  private next(): Promise<PartPermission | undefined> {
    const next = this.signing.then(async () => {
      const isEmpty = this.ready.length === 0 && this.todo.length > 0;
      if (isEmpty) this.ready.push(...(await this.signed(this.todo.splice(0, SIGNED_AT_ONCE))));
      return this.ready.shift();
    });
    this.signing = next.catch(() => {});
    return next;
  }

  private async signed(numbers: number[]): Promise<PartPermission[]> {
    const path = below("documents", this.state.document_id, "parts");
    const request = posting(path, { parts: numbers }, { always: true });
    const found = await this.core.list<PartPermission>("parts", request, this.failed.signal);
    if (found.map((part) => part.n).join() === numbers.join()) return found;
    throw new ProtocolError("Other parts were signed than were asked for.");
  }

  private async sendPart(part: PartPermission): Promise<void> {
    const reply = await this.untilTaken(part).catch(async (error: unknown) => {
      if (!(error instanceof StoreRefused) || error.status !== 403) throw error;
      // Its address may have expired while others were sent.
      const [again] = await this.signed([part.n]);
      return this.untilTaken(again as PartPermission);
    });
    if (!reply.etag) throw new ProtocolError("The object store gave a part no ETag.");
    const etags = { ...this.state.etags, [part.n]: reply.etag };
    this.state = { ...this.state, etags };
    this.onState?.(this.state);
  }

  private untilTaken({ n, url, headers }: PartPermission): Promise<StoreReply> {
    const start = (n - 1) * this.state.part_size;
    const request = { method: "PUT" as const, url, headers, start, end: start + this.size(n) };
    return untilTaken(this.core, this.source, request, this.tally, this.failed.signal);
  }

  private size(n: number): number {
    return Math.min(this.state.part_size, this.state.size - (n - 1) * this.state.part_size);
  }
}
