/** One request from its making to its answer: who asks, when it is sent again, what came of it. */

import { ApiError, isObject, KnowledgeBaseError, ProtocolError } from "./errors.js";
import type { AccessToken } from "./models.js";
import { API, isKeyed, json, posting, refusal, type Reply, type Request, unkeyed } from "./requests.js";
import { mayBeDone, type Retries, waitFor } from "./retries.js";
import type { Session } from "./session.js";
import { type Fetch, open, type Opened, sleep, type Timeouts, unlessAborted } from "./transport.js";

/** Of an answer that is no stream; the server's own limit is 8 MiB, if it has no other setting. */
const ANSWER_LIMIT = 64 * 1024 * 1024;
const ERROR_LIMIT = 1024 * 1024;

/** What every call goes through. */
export class Core {
  /** Waits; tests have it wait less. */
  sleep = sleep;
  private loggingIn: Promise<unknown> | undefined;

  constructor(
    readonly baseUrl: string,
    readonly session: Session,
    readonly fetch: Fetch,
    readonly retries: Retries,
    readonly timeouts: Timeouts,
  ) {}

  // --- requests ----------------------------------------------------------------------------------

  /**
   * The whole answer, sent again where that is safe.
   *
   * Throws `ApiError` for a refusal, `NotConnected`, `ConnectionBroken`, `TimedOut`,
   * `ProtocolError`, and the signal's reason.
   */
  async call(request: Request, signal?: AbortSignal): Promise<Reply> {
    let isDone = false;
    const once = async (request: Request) => {
      try {
        return await this.whole(await this.opened(request, signal), ANSWER_LIMIT);
      } catch (error) {
        isDone ||= mayBeDone(error);
        throw error;
      }
    };
    try {
      return await this.repeated(request, once, signal);
    } catch (error) {
      const isGone = error instanceof ApiError && error.code === "NOT_FOUND";
      // What an earlier try has deleted, although nobody told us, is gone.
      if (!isGone || request.method !== "DELETE" || !isDone) throw error;
      return { status: 204, headers: new Headers(), text: "" };
    }
  }

  /** The answer with its body still to be read; the rest as `call`. */
  open(request: Request, signal?: AbortSignal): Promise<Opened> {
    return this.repeated(request, (request) => this.opened(request, signal), signal);
  }

  /** The answer's JSON, which is an object. */
  async get<T extends object>(request: Request, signal?: AbortSignal): Promise<T> {
    const found = json(await this.call(request, signal));
    if (!isObject(found)) throw new ProtocolError("The answer is no object.");
    return found as T;
  }

  /** The list under that name of the answer's JSON. */
  async list<T>(name: string, request: Request, signal?: AbortSignal): Promise<T[]> {
    const found = (await this.get<Record<string, unknown>>(request, signal))[name];
    if (!Array.isArray(found)) throw new ProtocolError(`The answer's ${name} are no list.`);
    return found;
  }

  private async repeated<T>(
    request: Request,
    once: (request: Request) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    for (let before = 0; ; ) {
      try {
        return await once(request);
      } catch (error) {
        if (isWithoutKeys(error) && isKeyed(request)) {
          // Nothing was made, and this server knows no key again for now.
          request = unkeyed(request);
          continue;
        }
        const wait = waitFor(this.retries, request, error, before);
        if (wait === null) throw error;
        before += 1;
        await this.sleep(wait, signal);
      }
    }
  }

  /** Once with the token there is; where a new one may help, once more. */
  private async opened(request: Request, signal?: AbortSignal): Promise<Opened> {
    const credential = await this.credential(request, signal);
    try {
      return await this.sent(request, credential, signal);
    } catch (error) {
      if (request.isPublic || !this.mayLogInAgain(error)) throw error;
      this.session.dropped(credential);
      return this.sent(request, await this.credential(request, signal), signal);
    }
  }

  private async sent(
    request: Request,
    credential: string | undefined,
    signal?: AbortSignal,
  ): Promise<Opened> {
    const { method, body } = request;
    const { cookies } = this.session;
    const headers: Record<string, string> = { Accept: "application/json", ...request.headers };
    if (credential !== undefined) headers["Authorization"] = `Bearer ${credential}`;
    if (cookies && method !== "GET") headers["X-CSRF-Protection"] = "1";
    const credentials = cookies ? "same-origin" : "omit";
    const init: RequestInit = { method, headers, credentials };
    if (body !== undefined) init.body = body;
    const seconds = request.timeout ?? this.timeouts.head;
    const response = await open(this.fetch, this.url(request), init, seconds, signal);
    const { status } = response;
    if ((status >= 200 && status < 300) || status === 304) return response;
    throw await this.refused(response);
  }

  private async refused(response: Opened): Promise<KnowledgeBaseError> {
    const { status, headers } = response;
    // A proxy's redirect: nothing of what was asked was done. Browsers tell no status of it.
    if (status < 400) {
      response.close();
      return new ProtocolError("The answer leads elsewhere.");
    }
    const { text } = await this.whole(response, ERROR_LIMIT).catch((error: unknown) => {
      // The status is known; what it said of it is not.
      if (error instanceof KnowledgeBaseError) return { text: "" };
      throw error;
    });
    return refusal({ status, headers, text });
  }

  private async whole(response: Opened, limit: number): Promise<Reply> {
    const { status, headers } = response;
    return { status, headers, text: await response.text(this.timeouts.head, limit) };
  }

  private url({ path, query = {} }: Request): string {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.baseUrl + path + (given.length > 0 ? `?${search}` : "");
  }

  // --- who asks ----------------------------------------------------------------------------------

  /** A token may have been ended before its time: by a new password, or by an operator. */
  private mayLogInAgain(error: unknown): boolean {
    if (!(error instanceof ApiError) || this.session.account === undefined) return false;
    return error.code === "UNAUTHENTICATED" || error.code === "TOKEN_EXPIRED";
  }

  private async credential(
    request: Request,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    if (request.isPublic) return undefined;
    signal?.throwIfAborted();
    const { account } = this.session;
    if (this.session.needsLogin && account !== undefined) {
      // Many may wait for the one that logs in.
      this.loggingIn ??= this.logIn(account.username, account.password).finally(() => {
        this.loggingIn = undefined;
      });
      await unlessAborted(this.loggingIn, signal);
    }
    return this.session.credential;
  }

  async logIn(username: string, password: string, signal?: AbortSignal): Promise<AccessToken> {
    const request = posting(`${API}/auth/login`, { username, password }, { isPublic: true });
    const token = await this.get<AccessToken>(request, signal);
    this.session.took(token);
    return token;
  }
}

function isWithoutKeys(error: unknown): boolean {
  return error instanceof ApiError && error.code === "SHARED_STATE_UNAVAILABLE";
}
