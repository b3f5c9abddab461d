import { AnswerStream, LIMITS } from "./answers.js";
import { Core } from "./core.js";
import { Documents } from "./documents.js";
import { wholeAnswer } from "./events.js";
import { Keys } from "./keys.js";
import { API, json, posting } from "./requests.js";
import { RETRIES } from "./retries.js";
import { Session } from "./session.js";
import { TIMEOUTS } from "./transport.js";
export class KnowledgeBase {
    documents;
    keys;
    core;
    limits;
    constructor(baseUrl, options = {}) {
        const { fetch = (...given) => globalThis.fetch(...given), retries, timeouts, limits } = options;
        this.core = new Core(checkedUrl(baseUrl), new Session(options), fetch, { ...RETRIES, ...retries }, { ...TIMEOUTS, ...timeouts });
        this.limits = { ...LIMITS, ...limits };
        this.documents = new Documents(this.core);
        this.keys = new Keys(this.core);
    }
    login(username, password) {
        return this.core.logIn(username, password);
    }
    async logout({ allTokens = false } = {}) {
        const query = allTokens ? { all: "true" } : {};
        await this.core.call({ method: "POST", path: `${API}/auth/logout`, query });
        this.core.session.forget();
    }
    me() {
        return this.core.get({ method: "GET", path: `${API}/auth/me`, always: true });
    }
    ask(query, { stream = true, signal, ...options } = {}) {
        const timeout = stream ? undefined : this.core.timeouts.wholeAnswer;
        const request = asking(query, options, stream, timeout);
        if (stream)
            return new AnswerStream(this.core, request, this.limits, signal);
        return this.core.call(request, signal).then((reply) => wholeAnswer(json(reply)));
    }
    search(query, { topK, documentIds, signal } = {}) {
        const body = { query, top_k: topK, document_ids: documentIds };
        return this.core.list("passages", posting(`${API}/search`, body, { always: true }), signal);
    }
    usage({ owner, signal } = {}) {
        const path = `${API}/usage`;
        return this.core.get({ method: "GET", path, query: { owner }, always: true }, signal);
    }
}
function asking(query, { topK, documentIds, conversationId }, stream, timeout) {
    const about = { top_k: topK, document_ids: documentIds, conversation_id: conversationId };
    const headers = stream
        ? { Accept: "text/event-stream", "Accept-Encoding": "identity" }
        : {};
    return posting(`${API}/query`, { query, ...about, stream }, { headers, timeout });
}
function checkedUrl(text) {
    const url = new URL(text, globalThis.location?.href);
    if (!/^https?:$/.test(url.protocol)) {
        throw new TypeError(`${text} is no URL of HTTP: https://kb.example.com is one.`);
    }
    if (url.username || url.password || url.search || url.hash) {
        throw new TypeError("A base URL has no user, no password, no query and no fragment.");
    }
    return url.href.replace(/\/+$/, "");
}
