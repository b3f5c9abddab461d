/** `KnowledgeBase`: the client, in browsers and in Node. */

import { AnswerStream, LIMITS } from "./answers.js";
import { Core } from "./core.js";
import { Documents, type Owned } from "./documents.js";
import { wholeAnswer } from "./events.js";
import { Keys } from "./keys.js";
import type { AccessToken, Answer, Identity, Passage, UsageReport } from "./models.js";
import { API, json, posting, type Request } from "./requests.js";
import { RETRIES, type Retries } from "./retries.js";
import { type Credentials, Session } from "./session.js";
import type { StreamLimits } from "./sse.js";
import { type Fetch, type Timeouts, TIMEOUTS } from "./transport.js";

/** One of `apiKey`, `token`, `username` with `password`, and `cookies`; and how it behaves. */
export interface Options extends Credentials {
  /** How requests are sent, if not by the `fetch` that there is. */
  fetch?: Fetch;
  retries?: Partial<Retries>;
  timeouts?: Partial<Timeouts>;
  limits?: Partial<StreamLimits>;
}

export interface SearchOptions {
  /** How many passages are looked for at most. */
  topK?: number | undefined;
  /** Narrows the search to some of your documents. */
  documentIds?: readonly string[] | undefined;
  /** Stops it: its reason is thrown. */
  signal?: AbortSignal | undefined;
}

export interface AskOptions extends SearchOptions {
  conversationId?: string | undefined;
}

/** A knowledge base. Every method throws a `KnowledgeBaseError`, or the reason of its signal. */
export class KnowledgeBase {
  readonly documents: Documents;
  readonly keys: Keys;
  /** @internal */
  readonly core: Core;
  private readonly limits: StreamLimits;

  /** @param baseUrl where it is; in a page it may be relative to it, as `/` is */
  constructor(baseUrl: string, options: Options = {}) {
    const { fetch = (...given) => globalThis.fetch(...given), retries, timeouts, limits } = options;
    this.core = new Core(
      checkedUrl(baseUrl),
      new Session(options),
      fetch,
      { ...RETRIES, ...retries },
      { ...TIMEOUTS, ...timeouts },
    );
    this.limits = { ...LIMITS, ...limits };
    this.documents = new Documents(this.core);
    this.keys = new Keys(this.core);
  }

  // --- who asks ----------------------------------------------------------------------------------

  /** Logs in; what follows is sent with the token, which ends. The password is not kept. */
  login(username: string, password: string): Promise<AccessToken> {
    return this.core.logIn(username, password);
  }

  /** Ends the token or session, or all that its user has, and forgets it. */
  async logout({ allTokens = false }: { allTokens?: boolean } = {}): Promise<void> {
    const query = allTokens ? { all: "true" } : {};
    await this.core.call({ method: "POST", path: `${API}/auth/logout`, query });
    this.core.session.forget();
  }

  me(): Promise<Identity> {
    return this.core.get({ method: "GET", path: `${API}/auth/me`, always: true });
  }

  // --- questions ---------------------------------------------------------------------------------

  /** Asks; gives the answer's events as they come, or with `stream: false` the whole of it. */
  ask(query: string, options?: AskOptions & { stream?: true }): AnswerStream;
  ask(query: string, options: AskOptions & { stream: false }): Promise<Answer>;
  ask(
    query: string,
    { stream = true, signal, ...options }: AskOptions & { stream?: boolean } = {},
  ): AnswerStream | Promise<Answer> {
    const timeout = stream ? undefined : this.core.timeouts.wholeAnswer;
    const request = asking(query, options, stream, timeout);
    if (stream) return new AnswerStream(this.core, request, this.limits, signal);
    return this.core.call(request, signal).then((reply) => wholeAnswer(json(reply)));
  }

  /** The passages that fit, best first; no answer is written. */
  search(query: string, { topK, documentIds, signal }: SearchOptions = {}): Promise<Passage[]> {
    const body = { query, top_k: topK, document_ids: documentIds };
    return this.core.list("passages", posting(`${API}/search`, body, { always: true }), signal);
  }

  /** What was used and what is left; of another `owner`, if you are an admin. */
  usage({ owner, signal }: Owned = {}): Promise<UsageReport> {
    const path = `${API}/usage`;
    return this.core.get({ method: "GET", path, query: { owner }, always: true }, signal);
  }
}

function asking(
  query: string,
  { topK, documentIds, conversationId }: AskOptions,
  stream: boolean,
  timeout: number | undefined,
): Request {
  const about = { top_k: topK, document_ids: documentIds, conversation_id: conversationId };
  // A coding on the way would hold events back until enough has come together. Browsers have
  // their own mind about it.
  const headers: Record<string, string> = stream
    ? { Accept: "text/event-stream", "Accept-Encoding": "identity" }
    : {};
  return posting(`${API}/query`, { query, ...about, stream }, { headers, timeout });
}

function checkedUrl(text: string): string {
  const url = new URL(text, globalThis.location?.href);
  if (!/^https?:$/.test(url.protocol)) {
    throw new TypeError(`${text} is no URL of HTTP: https://kb.example.com is one.`);
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new TypeError("A base URL has no user, no password, no query and no fragment.");
  }
  return url.href.replace(/\/+$/, "");
}
