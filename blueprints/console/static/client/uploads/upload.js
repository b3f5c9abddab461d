import { ApiError, KnowledgeBaseError, ProtocolError, UploadInterrupted } from "../errors.js";
import { API, below, keyed, posting } from "../requests.js";
import { formAround } from "./form.js";
import { Parts } from "./parts.js";
import { untilTaken } from "./store.js";
import { Tally } from "./tally.js";
export async function upload(core, file, options) {
    const source = await sourceOf(core, file);
    return new Upload(core, source, options).run();
}
async function sourceOf(core, file) {
    const isPage = typeof XMLHttpRequest !== "undefined" || typeof process === "undefined";
    if (file instanceof Blob && isPage) {
        const { BlobSource } = await import("./blob_source.js");
        return new BlobSource(file, core.fetch);
    }
    const { blobSource, pathSource } = await import("./node_source.js");
    return file instanceof Blob ? blobSource(file, core.fetch) : pathSource(file, core.fetch);
}
class Upload {
    core;
    source;
    options;
    filename;
    tally;
    sha256 = "";
    constructor(core, source, options) {
        this.core = core;
        this.source = source;
        this.options = options;
        this.filename = options.filename ?? source.name;
        this.tally = new Tally(source.size, options.onProgress);
    }
    async run() {
        const { signal, onDigest } = this.options;
        signal?.throwIfAborted();
        this.sha256 = await this.source.digest((bytes) => this.tally.read(bytes), signal);
        await onDigest?.(this.sha256);
        return (await this.resumed()) ?? this.fromTheStart();
    }
    async resumed() {
        const state = this.options.resume;
        if (state === undefined || !this.isOfThisFile(state))
            return null;
        const tally = new Tally(this.source.size, this.options.onProgress);
        tally.read(this.source.size);
        try {
            return await this.inParts(state, tally);
        }
        catch (error) {
            if (error instanceof UploadInterrupted && isOver(error.cause))
                return null;
            throw error;
        }
    }
    isOfThisFile(state) {
        return state.size === this.source.size && state.sha256 === this.sha256 && state.part_size > 0;
    }
    async fromTheStart() {
        const ticket = await this.announced();
        const { document_id } = ticket;
        this.options.onAnnounced?.(document_id);
        const { method, part_size } = ticket.upload;
        if (method === "POST")
            return this.asForm(ticket);
        if (method !== "MULTIPART" || !part_size) {
            throw new ProtocolError(`An upload by ${method} was not asked for.`);
        }
        const { size } = this.source;
        const state = { document_id, size, sha256: this.sha256, part_size, etags: {} };
        return this.inParts(state, this.tally);
    }
    announced() {
        const { contentType, idempotencyKey, signal } = this.options;
        const { size } = this.source;
        const about = { filename: this.filename, size, sha256: this.sha256 };
        const body = { ...about, content_type: contentType };
        return this.core.get(keyed(posting(`${API}/documents`, body), idempotencyKey), signal);
    }
    async asForm({ document_id, upload }) {
        const { head, tail, contentType } = formAround(upload.fields ?? {});
        const headers = { "Content-Type": contentType };
        const whole = { start: 0, end: this.source.size, head, tail };
        const request = { method: "POST", url: upload.url, headers, ...whole };
        const signal = this.options.signal ?? new AbortController().signal;
        await untilTaken(this.core, this.source, request, this.tally, signal);
        return this.completed(document_id, {});
    }
    async inParts(state, tally) {
        const { signal, onState, atOnce = 4 } = this.options;
        const parts = new Parts(this.core, this.source, state, tally, onState);
        try {
            const etags = await parts.send(atOnce, signal);
            return await this.completed(state.document_id, { parts: etags });
        }
        catch (error) {
            signal?.throwIfAborted();
            if (!(error instanceof KnowledgeBaseError))
                throw error;
            throw new UploadInterrupted(parts.state, { cause: error });
        }
    }
    async completed(document_id, body) {
        const path = below("documents", document_id, "complete");
        await this.core.call(posting(path, body, { always: true }), this.options.signal);
        const { size } = this.source;
        return { document_id, filename: this.filename, size, sha256: this.sha256 };
    }
}
function isOver(error) {
    const codes = ["NOT_FOUND", "CONFLICT", "VALIDATION_ERROR"];
    return error instanceof ApiError && codes.includes(error.code);
}
