import { ConnectionBroken, NotConnected, TimedOut } from "./errors.js";
import { ProtocolError } from "./errors.js";
export const TIMEOUTS = { head: 60, idle: 60, wholeAnswer: 960 };
const NEVER_CONNECTED = /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|E(HOST|NET)UNREACH|UND_ERR_CONNECT_TIMEOUT|\w*CERT\w*|UNABLE_TO_\w+)$/;
export class Opened {
    connection;
    status;
    headers;
    reader;
    constructor(response, connection) {
        this.connection = connection;
        this.status = response.status;
        this.headers = response.headers;
        this.reader = response.body?.getReader();
    }
    async read(seconds, late) {
        if (this.reader === undefined)
            return null;
        const { reader } = this;
        const { done, value } = await this.connection.within(seconds, late, () => reader.read());
        if (done)
            this.connection.release();
        return done ? null : value;
    }
    async text(seconds, limit) {
        const decoder = new TextDecoder();
        let [text, size] = ["", 0];
        try {
            for (let data; (data = await this.read(seconds, "No answer came in time.")) !== null;) {
                size += data.length;
                if (size > limit)
                    throw new ProtocolError(`The answer has more than ${limit} bytes.`);
                text += decoder.decode(data, { stream: true });
            }
            return text + decoder.decode();
        }
        finally {
            this.close();
        }
    }
    close() {
        this.connection.end();
    }
}
export class Connection {
    outer;
    controller = new AbortController();
    onAbort = () => this.controller.abort(this.outer?.reason);
    constructor(outer) {
        this.outer = outer;
        if (outer?.aborted)
            this.onAbort();
        else
            outer?.addEventListener("abort", this.onAbort);
    }
    get signal() {
        return this.controller.signal;
    }
    async within(seconds, late, work) {
        const timer = alarm(seconds, () => this.controller.abort(new TimedOut(late)));
        try {
            return await work();
        }
        catch (error) {
            this.release();
            throw this.signal.aborted ? this.signal.reason : translated(error);
        }
        finally {
            clearTimeout(timer);
        }
    }
    end() {
        this.release();
        this.controller.abort();
    }
    release() {
        this.outer?.removeEventListener("abort", this.onAbort);
    }
}
export async function open(fetch, url, init, seconds, signal) {
    const connection = new Connection(signal);
    const response = await connection.within(seconds, "No answer came in time.", () => fetch(url, { redirect: "manual", cache: "no-store", ...init, signal: connection.signal }));
    return new Opened(response, connection);
}
export function translated(error) {
    const cause = error?.cause;
    const why = String(cause?.message || cause?.code || error?.message || error);
    if (NEVER_CONNECTED.test(String(cause?.code))) {
        return new NotConnected(`No connection came about: ${why}`, { cause: error });
    }
    return new ConnectionBroken(`The connection broke: ${why}`, { cause: error });
}
export function alarm(seconds, call) {
    return setTimeout(call, Math.min(seconds * 1000, 2 ** 31 - 1));
}
export async function unlessAborted(work, signal) {
    if (signal === undefined)
        return work;
    let stop = () => { };
    const aborted = new Promise((_, reject) => {
        stop = () => reject(signal.reason);
        signal.addEventListener("abort", stop);
    });
    try {
        return await Promise.race([work, aborted]);
    }
    finally {
        signal.removeEventListener("abort", stop);
    }
}
export function sleep(seconds, signal) {
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
