/** `KnowledgeBase.keys`: API keys, which people make for programs. */

import type { Core } from "./core.js";
import type { Owned } from "./documents.js";
import type { Key, Scope } from "./models.js";
import { API, below, keyed, posting } from "./requests.js";

export interface NewKey {
  name: string;
  /** The actions that it is for: at least one. */
  scopes: readonly (Scope | (string & {}))[];
  /** Seconds; without it the key has no end. */
  expiresIn?: number | undefined;
  /** Your own, so that the key is not made twice if you repeat it. */
  idempotencyKey?: string | undefined;
  signal?: AbortSignal | undefined;
}

export class Keys {
  /** @internal */
  constructor(private readonly core: Core) {}

  /** Its `secret` is shown once. */
  create({ name, scopes, expiresIn, idempotencyKey, signal }: NewKey): Promise<Key> {
    const body = { name, scopes, expires_in: expiresIn };
    return this.core.get(keyed(posting(`${API}/keys`, body), idempotencyKey), signal);
  }

  /** Newest first, those that were revoked, too. */
  list({ owner, signal }: Owned = {}): Promise<Key[]> {
    const path = `${API}/keys`;
    return this.core.list("keys", { method: "GET", path, query: { owner }, always: true }, signal);
  }

  async revoke(id: string, { owner, signal }: Owned = {}): Promise<void> {
    const path = below("keys", id);
    await this.core.call({ method: "DELETE", path, query: { owner }, always: true }, signal);
  }

  /**
   * With a new secret; the old one works on for `overlap` seconds (a day, if not given). It is not
   * repeated by itself: each time it makes another secret.
   */
  async rotate(
    id: string,
    { overlap, signal }: { overlap?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<Key> {
    return this.core.get(posting(below("keys", id, "rotate"), { overlap }), signal);
  }
}
