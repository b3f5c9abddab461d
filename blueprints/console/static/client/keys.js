import { API, below, keyed, posting } from "./requests.js";
export class Keys {
    core;
    constructor(core) {
        this.core = core;
    }
    create({ name, scopes, expiresIn, idempotencyKey, signal }) {
        const body = { name, scopes, expires_in: expiresIn };
        return this.core.get(keyed(posting(`${API}/keys`, body), idempotencyKey), signal);
    }
    list({ owner, signal } = {}) {
        const path = `${API}/keys`;
        return this.core.list("keys", { method: "GET", path, query: { owner }, always: true }, signal);
    }
    async revoke(id, { owner, signal } = {}) {
        const path = below("keys", id);
        await this.core.call({ method: "DELETE", path, query: { owner }, always: true }, signal);
    }
    async rotate(id, { overlap, signal } = {}) {
        return this.core.get(posting(below("keys", id, "rotate"), { overlap }), signal);
    }
}
