import { ApiError, isObject, KnowledgeBaseError, ProtocolError } from "./errors.js";
import { API, isKeyed, json, posting, refusal, unkeyed } from "./requests.js";
import { mayBeDone, waitFor } from "./retries.js";
import { open, sleep, unlessAborted } from "./transport.js";
const ANSWER_LIMIT = 64 * 1024 * 1024;
const ERROR_LIMIT = 1024 * 1024;
export class Core {
    baseUrl;
    session;
    fetch;
    retries;
    timeouts;
    sleep = sleep;
    loggingIn;
    constructor(baseUrl, session, fetch, retries, timeouts) {
        this.baseUrl = baseUrl;
        this.session = session;
        this.fetch = fetch;
        this.retries = retries;
        this.timeouts = timeouts;
    }
    async call(request, signal) {
        let isDone = false;
        const once = async (request) => {
            try {
                return await this.whole(await this.opened(request, signal), ANSWER_LIMIT);
            }
            catch (error) {
                isDone ||= mayBeDone(error);
                throw error;
            }
        };
        try {
            return await this.repeated(request, once, signal);
        }
        catch (error) {
            const isGone = error instanceof ApiError && error.code === "NOT_FOUND";
            if (!isGone || request.method !== "DELETE" || !isDone)
                throw error;
            return { status: 204, headers: new Headers(), text: "" };
        }
    }
    open(request, signal) {
        return this.repeated(request, (request) => this.opened(request, signal), signal);
    }
    async get(request, signal) {
        const found = json(await this.call(request, signal));
        if (!isObject(found))
            throw new ProtocolError("The answer is no object.");
        return found;
    }
    async list(name, request, signal) {
        const found = (await this.get(request, signal))[name];
        if (!Array.isArray(found))
            throw new ProtocolError(`The answer's ${name} are no list.`);
        return found;
    }
    async repeated(request, once, signal) {
        for (let before = 0;;) {
            try {
                return await once(request);
            }
            catch (error) {
                if (isWithoutKeys(error) && isKeyed(request)) {
                    request = unkeyed(request);
                    continue;
                }
                const wait = waitFor(this.retries, request, error, before);
                if (wait === null)
                    throw error;
                before += 1;
                await this.sleep(wait, signal);
            }
        }
    }
    async opened(request, signal) {
        const credential = await this.credential(request, signal);
        try {
            return await this.sent(request, credential, signal);
        }
        catch (error) {
            if (request.isPublic || !this.mayLogInAgain(error))
                throw error;
            this.session.dropped(credential);
            return this.sent(request, await this.credential(request, signal), signal);
        }
    }
    async sent(request, credential, signal) {
        const { method, body } = request;
        const { cookies } = this.session;
        const headers = { Accept: "application/json", ...request.headers };
        if (credential !== undefined)
            headers["Authorization"] = `Bearer ${credential}`;
        if (cookies && method !== "GET")
            headers["X-CSRF-Protection"] = "1";
        const credentials = cookies ? "same-origin" : "omit";
        const init = { method, headers, credentials };
        if (body !== undefined)
            init.body = body;
        const seconds = request.timeout ?? this.timeouts.head;
        const response = await open(this.fetch, this.url(request), init, seconds, signal);
        const { status } = response;
        if ((status >= 200 && status < 300) || status === 304)
            return response;
        throw await this.refused(response);
    }
    async refused(response) {
        const { status, headers } = response;
        if (status < 400) {
            response.close();
            return new ProtocolError("The answer leads elsewhere.");
        }
        const { text } = await this.whole(response, ERROR_LIMIT).catch((error) => {
            if (error instanceof KnowledgeBaseError)
                return { text: "" };
            throw error;
        });
        return refusal({ status, headers, text });
    }
    async whole(response, limit) {
        const { status, headers } = response;
        return { status, headers, text: await response.text(this.timeouts.head, limit) };
    }
    url({ path, query = {} }) {
        const given = Object.entries(query).filter(([, value]) => value !== undefined);
        const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
        return this.baseUrl + path + (given.length > 0 ? `?${search}` : "");
    }
    mayLogInAgain(error) {
        if (!(error instanceof ApiError) || this.session.account === undefined)
            return false;
        return error.code === "UNAUTHENTICATED" || error.code === "TOKEN_EXPIRED";
    }
    async credential(request, signal) {
        if (request.isPublic)
            return undefined;
        signal?.throwIfAborted();
        const { account } = this.session;
        if (this.session.needsLogin && account !== undefined) {
            this.loggingIn ??= this.logIn(account.username, account.password).finally(() => {
                this.loggingIn = undefined;
            });
            await unlessAborted(this.loggingIn, signal);
        }
        return this.session.credential;
    }
    async logIn(username, password, signal) {
        const request = posting(`${API}/auth/login`, { username, password }, { isPublic: true });
        const token = await this.get(request, signal);
        this.session.took(token);
        return token;
    }
}
function isWithoutKeys(error) {
    return error instanceof ApiError && error.code === "SHARED_STATE_UNAVAILABLE";
}
