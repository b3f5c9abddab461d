import { IngestFailed, ProtocolError, TimedOut } from "./errors.js";
import { API, below, json } from "./requests.js";
import { open } from "./transport.js";
const [FIRST_POLL, LONGEST_POLL] = [0.25, 5];
export class Documents {
    core;
    constructor(core) {
        this.core = core;
    }
    async upload(file, options = {}) {
        const { upload } = await import("./uploads/upload.js");
        return upload(this.core, file, options);
    }
    async *watch(id, { owner, signal, timeout = Infinity } = {}) {
        const end = performance.now() + timeout * 1000;
        let [poll, etag, last] = [0, "", ""];
        for (;;) {
            if (performance.now() > end) {
                throw new TimedOut(`Document ${id} was not indexed within ${timeout} s.`);
            }
            await this.core.sleep(poll, signal);
            poll = Math.min(Math.max(poll * 1.5, FIRST_POLL), LONGEST_POLL);
            const reply = await this.core.call(reading(id, owner, etag), signal);
            if (reply.status === 304 || reply.text === last)
                continue;
            [poll, etag, last] = [FIRST_POLL, reply.headers.get("ETag") ?? "", reply.text];
            const document = json(reply);
            yield document;
            if (isSettled(document))
                return;
        }
    }
    async wait(id, options = {}) {
        for await (const document of this.watch(id, options)) {
            if (document.status === "indexed")
                return document;
            if (isSettled(document))
                throw new IngestFailed(document);
        }
        throw new ProtocolError("The last document that is watched is settled.");
    }
    async get(id, { owner, signal } = {}) {
        return this.core.get(reading(id, owner), signal);
    }
    page(options = {}) {
        const { limit, cursor, owner, signal } = options;
        const path = `${API}/documents`;
        const query = { limit, cursor, owner };
        return this.core.get({ method: "GET", path, query, always: true }, signal);
    }
    async *list(options = {}) {
        for (let cursor;;) {
            const page = await this.page({ ...options, limit: 100, cursor });
            yield* page.documents;
            if (page.next_cursor === null)
                return;
            cursor = page.next_cursor;
        }
    }
    async delete(id, { owner, signal } = {}) {
        const path = below("documents", id);
        await this.core.call({ method: "DELETE", path, query: { owner }, always: true }, signal);
    }
    async contentUrl(id, { owner, signal } = {}) {
        const path = below("documents", id, "content");
        const query = { owner, redirect: "false" };
        const request = { method: "GET", path, query, always: true };
        const { url } = await this.core.get(request, signal);
        if (typeof url !== "string")
            throw new ProtocolError("The answer has no address.");
        return url;
    }
    async download(id, to, options = {}) {
        const url = await this.contentUrl(id, options);
        const { written } = await import("./uploads/node_source.js");
        const { refusedBy } = await import("./uploads/store.js");
        const { fetch, timeouts } = this.core;
        const response = await open(fetch, url, { credentials: "omit" }, timeouts.head, options.signal);
        const { status } = response;
        if (status !== 200) {
            throw refusedBy({ status, text: await response.text(timeouts.head, 1024 * 1024) });
        }
        try {
            await written(response, to, timeouts.head);
        }
        finally {
            response.close();
        }
    }
}
export function isSettled({ status }) {
    return status === "indexed" || status === "failed" || status === "expired";
}
function reading(id, owner, etag = "") {
    const path = below("documents", id);
    const headers = etag === "" ? {} : { "If-None-Match": etag };
    return { method: "GET", path, query: { owner }, headers, always: true };
}
