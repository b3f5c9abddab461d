import { AnswerIncomplete, ConnectionBroken, KnowledgeBaseError } from "./errors.js";
import { ProtocolError } from "./errors.js";
import { Collected, errorOf, eventOf } from "./events.js";
import { SseParser } from "./sse.js";
export const LIMITS = { line: 16 * 1024 * 1024, event: 16 * 1024 * 1024 };
const LINGER_S = 1;
export class AnswerStream {
    core;
    request;
    limits;
    signal;
    collected = new Collected();
    closed = new AbortController();
    onAbort = () => this.closed.abort(this.signal?.reason);
    opening;
    response;
    told;
    constructor(core, request, limits, signal) {
        this.core = core;
        this.request = request;
        this.limits = limits;
        this.signal = signal;
        if (signal?.aborted)
            this.onAbort();
        else
            signal?.addEventListener("abort", this.onAbort);
    }
    async *[Symbol.asyncIterator]() {
        try {
            for (let event; (event = await this.next()) !== null;)
                yield event;
        }
        finally {
            this.close();
        }
    }
    async open() {
        this.opening ??= this.begin();
        this.response = await this.opening;
    }
    async collect() {
        for await (const _ of this)
            ;
        return this.soFar;
    }
    get soFar() {
        return this.collected.answer();
    }
    get requestId() {
        return this.response?.headers.get("X-Request-ID") ?? undefined;
    }
    close() {
        this.signal?.removeEventListener("abort", this.onAbort);
        this.closed.abort();
    }
    async next() {
        try {
            await this.open();
            const event = await this.told.next();
            if (event === null)
                this.close();
            else
                this.collected.take(event);
            return event;
        }
        catch (error) {
            if (this.isClosed && !this.signal?.aborted)
                return null;
            this.close();
            throw this.signal?.aborted ? this.signal.reason : error;
        }
    }
    get isClosed() {
        return this.closed.signal.aborted;
    }
    async begin() {
        this.closed.signal.throwIfAborted();
        const response = await this.core.open(this.request, this.closed.signal);
        this.told = new Told(response, this.limits, this.core.timeouts.idle);
        return response;
    }
}
class Told {
    response;
    idle;
    parser;
    waiting = [];
    hasEnded = false;
    silent = 0;
    signs = 0;
    seen = 0;
    constructor(response, limits, idle) {
        this.response = response;
        this.idle = idle;
        this.parser = new SseParser(limits);
        const type = response.headers.get("Content-Type") ?? "";
        if (type.toLowerCase().startsWith("text/event-stream"))
            return;
        response.close();
        throw new ProtocolError("The answer is no event stream.");
    }
    async next() {
        while (this.waiting.length === 0) {
            const data = await this.read();
            if (data !== null)
                this.take(data);
            else if (this.hasEnded)
                return null;
            else
                throw new AnswerIncomplete("The answer stopped without an ending.");
        }
        const first = this.waiting.shift();
        if (first instanceof KnowledgeBaseError)
            throw first;
        return first;
    }
    async read() {
        const began = performance.now();
        const late = `The answer has been silent for more than ${this.idle} s.`;
        try {
            const left = this.hasEnded ? LINGER_S : Math.max(this.idle - this.silent, 0);
            const data = await this.response.read(left, late);
            this.silent += (performance.now() - began) / 1000;
            return data;
        }
        catch (error) {
            if (this.hasEnded && error instanceof KnowledgeBaseError)
                return null;
            if (!(error instanceof ConnectionBroken))
                throw error;
            throw new AnswerIncomplete(`The answer stopped without an ending: ${error.message}`, {
                cause: error,
            });
        }
    }
    take(data) {
        if (this.hasEnded)
            return;
        for (const sent of this.parser.feed(data)) {
            this.signs += 1;
            this.waiting.push(sent.name === "error" ? errorOf(sent.data) : eventOf(sent));
            this.hasEnded = sent.name === "error" || sent.name === "done";
            if (this.hasEnded)
                return;
        }
        const signs = this.signs + this.parser.comments;
        if (signs === this.seen)
            return;
        this.seen = signs;
        this.silent = 0;
    }
}
