import { ProtocolError, StoreRefused } from "../errors.js";
import { below, posting } from "../requests.js";
import { untilTaken } from "./store.js";
const SIGNED_AT_ONCE = 4;
export class Parts {
    core;
    source;
    state;
    tally;
    onState;
    failed = new AbortController();
    todo;
    ready = [];
    signing = Promise.resolve();
    constructor(core, source, state, tally, onState) {
        this.core = core;
        this.source = source;
        this.state = state;
        this.tally = tally;
        this.onState = onState;
        const all = Math.ceil(state.size / state.part_size);
        const numbers = Array.from({ length: all }, (_, index) => index + 1);
        this.todo = numbers.filter((n) => state.etags[n] === undefined);
    }
    async send(atOnce, signal) {
        const stop = () => this.failed.abort(signal?.reason);
        if (signal?.aborted)
            stop();
        signal?.addEventListener("abort", stop);
        this.tally.had(Object.keys(this.state.etags).reduce((sum, n) => sum + this.size(+n), 0));
        this.onState?.(this.state);
        try {
            const workers = Math.min(atOnce, this.todo.length);
            await this.together(Array.from({ length: workers }, () => this.work()));
        }
        finally {
            signal?.removeEventListener("abort", stop);
        }
        const etags = Object.entries(this.state.etags).map(([n, etag]) => ({ n: Number(n), etag }));
        return etags.sort((one, other) => one.n - other.n);
    }
    async together(works) {
        for (const work of works)
            work.catch((error) => this.failed.abort(error));
        await Promise.allSettled(works);
        this.failed.signal.throwIfAborted();
    }
    async work() {
        for (let part; (part = await this.next()) !== undefined;)
            await this.sendPart(part);
    }
    next() {
        const next = this.signing.then(async () => {
            const isEmpty = this.ready.length === 0 && this.todo.length > 0;
            if (isEmpty)
                this.ready.push(...(await this.signed(this.todo.splice(0, SIGNED_AT_ONCE))));
            return this.ready.shift();
        });
        this.signing = next.catch(() => { });
        return next;
    }
    async signed(numbers) {
        const path = below("documents", this.state.document_id, "parts");
        const request = posting(path, { parts: numbers }, { always: true });
        const found = await this.core.list("parts", request, this.failed.signal);
        if (found.map((part) => part.n).join() === numbers.join())
            return found;
        throw new ProtocolError("Other parts were signed than were asked for.");
    }
    async sendPart(part) {
        const reply = await this.untilTaken(part).catch(async (error) => {
            if (!(error instanceof StoreRefused) || error.status !== 403)
                throw error;
            const [again] = await this.signed([part.n]);
            return this.untilTaken(again);
        });
        if (!reply.etag)
            throw new ProtocolError("The object store gave a part no ETag.");
        const etags = { ...this.state.etags, [part.n]: reply.etag };
        this.state = { ...this.state, etags };
        this.onState?.(this.state);
    }
    untilTaken({ n, url, headers }) {
        const start = (n - 1) * this.state.part_size;
        const request = { method: "PUT", url, headers, start, end: start + this.size(n) };
        return untilTaken(this.core, this.source, request, this.tally, this.failed.signal);
    }
    size(n) {
        return Math.min(this.state.part_size, this.state.size - (n - 1) * this.state.part_size);
    }
}
