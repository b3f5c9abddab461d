import { ConnectionBroken, NotConnected, StoreRefused, TimedOut } from "../errors.js";
import { backoff } from "../retries.js";
import { alarm } from "../transport.js";
const PASSING = [408, 429, 500, 502, 503, 504];
export async function untilTaken(core, source, request, tally, signal) {
    for (let before = 0;; before++) {
        try {
            return await once(core, source, request, tally, signal);
        }
        catch (error) {
            signal.throwIfAborted();
            if (before >= core.retries.times || !isPassing(error))
                throw error;
            await core.sleep(backoff(before), signal);
        }
    }
}
function isPassing(error) {
    if (error instanceof StoreRefused)
        return PASSING.includes(error.status);
    const { name } = [ConnectionBroken, NotConnected, TimedOut].find((k) => error instanceof k) ?? {};
    return name !== undefined;
}
async function once(core, source, request, tally, signal) {
    const watched = new Watched(core.timeouts.head, signal);
    const sending = tally.sending();
    const onSent = (bytes) => {
        watched.moved();
        sending.has(bytes);
    };
    try {
        const reply = await source.send(request, onSent, watched.signal);
        if (reply.status < 200 || reply.status > 299)
            throw refusedBy(reply);
        sending.has(request.end - request.start);
        return reply;
    }
    catch (error) {
        sending.has(0);
        throw error;
    }
    finally {
        watched.end();
    }
}
export function refusedBy({ status, text }) {
    return new StoreRefused(status, /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(text)?.[1] ?? "");
}
class Watched {
    seconds;
    outer;
    controller = new AbortController();
    stop = () => this.controller.abort(this.outer.reason);
    timer;
    constructor(seconds, outer) {
        this.seconds = seconds;
        this.outer = outer;
        if (outer.aborted)
            this.stop();
        outer.addEventListener("abort", this.stop);
        this.moved();
    }
    get signal() {
        return this.controller.signal;
    }
    moved() {
        clearTimeout(this.timer);
        const late = new TimedOut(`The object store has not moved for ${this.seconds} s.`);
        this.timer = alarm(this.seconds, () => this.controller.abort(late));
    }
    end() {
        clearTimeout(this.timer);
        this.outer.removeEventListener("abort", this.stop);
    }
}
