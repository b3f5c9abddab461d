export class KnowledgeBaseError extends Error {
    constructor(message, options) {
        super(message, options);
        this.name = new.target.name;
    }
}
export class NotConnected extends KnowledgeBaseError {
}
export class ConnectionBroken extends KnowledgeBaseError {
}
export class TimedOut extends KnowledgeBaseError {
}
export class ProtocolError extends KnowledgeBaseError {
}
export class AnswerIncomplete extends KnowledgeBaseError {
}
export class FileChanged extends KnowledgeBaseError {
}
export class StoreRefused extends KnowledgeBaseError {
    status;
    code;
    constructor(status, code) {
        super(`The object store refused: ${status} ${code}`.trimEnd());
        this.status = status;
        this.code = code;
    }
}
export class UploadInterrupted extends KnowledgeBaseError {
    state;
    constructor(state, options) {
        const all = Math.ceil(state.size / state.part_size);
        const sent = `${Object.keys(state.etags).length} of ${all} parts were sent`;
        super(`The upload of document ${state.document_id} was interrupted: ${sent}.`, options);
        this.state = state;
    }
}
export class IngestFailed extends KnowledgeBaseError {
    document;
    constructor(document) {
        const why = document.error ?? document.status;
        super(`Document ${document.document_id} was not indexed: ${why}`);
        this.document = document;
    }
}
export class ApiError extends KnowledgeBaseError {
    code;
    status;
    details;
    retryAfter;
    constructor(code, message, facts = {}) {
        super(message);
        this.code = code;
        this.status = facts.status;
        this.details = facts.details ?? {};
        this.retryAfter = facts.retryAfter;
    }
    get requestId() {
        const found = this.details.request_id;
        return typeof found === "string" ? found : undefined;
    }
    toString() {
        const about = this.requestId === undefined ? "" : ` (request ${this.requestId})`;
        return `${this.code}: ${this.message}${about}`;
    }
}
export function saidError(body, facts) {
    const error = property(body, "error");
    const code = property(error, "code");
    const message = property(error, "message");
    if (typeof code !== "string" || typeof message !== "string")
        return null;
    const found = property(error, "details");
    const details = { ...facts.details, ...(isObject(found) ? found : {}) };
    const after = property(details, "retry_after_s");
    const retryAfter = facts.retryAfter ?? (typeof after === "number" ? after : undefined);
    return new ApiError(code, message, { status: facts.status, details, retryAfter });
}
export function isObject(value) {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}
function property(value, name) {
    return isObject(value) ? value[name] : undefined;
}
