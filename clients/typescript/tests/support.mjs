// What the tests share: the compiled client, and a server in memory that answers one by one.

const built = process.env.KB_CLIENT ?? new URL("../dist", import.meta.url).pathname;

/** A module of the client, by its name in `src`. */
export const load = (name) => import(`file://${built}/${name}.js`);

export const { KnowledgeBase, ...client } = await load("index");
export const URL_OF = "http://kb.test";
export const ID = "0199f0c2-0000-7000-8000-000000000001";

export function told(status, body, headers = {}) {
  const isEmpty = body === undefined || [204, 304].includes(status);
  return () => new Response(isEmpty ? null : JSON.stringify(body), { status, headers });
}

export function refused(status, code, headers = {}) {
  const details = { request_id: "r-1" };
  return told(status, { error: { code, message: "No.", details } }, headers);
}

/** What Node's fetch throws, by the code of its cause. */
export function broken(code) {
  return () => {
    throw new TypeError("fetch failed", { cause: Object.assign(new Error(code), { code }) });
  };
}

/** Gives `answers` one after the other, and then what `usual` says. */
export class FakeServer {
  requests = [];
  answers = [];
  usual = told(200, {});

  fetch = async (url, init) => {
    const { method = "GET", headers, body } = init;
    this.requests.push({ url: new URL(url), method, headers: new Headers(headers), body, init });
    return (this.answers.shift() ?? this.usual)(url, init);
  };
}

/** A client before such a server that waits for nothing; `waits` has what it would have waited. */
export function before(server, options = { token: "t" }) {
  const kb = new KnowledgeBase(URL_OF, { fetch: server.fetch, ...options });
  const waits = [];
  kb.core.sleep = async (seconds, signal) => {
    signal?.throwIfAborted();
    waits.push(seconds);
  };
  return { kb, waits };
}

/** The bytes as a stream, a piece at a time. */
export function stream(...pieces) {
  const bytes = pieces.map((one) => (typeof one === "string" ? Buffer.from(one) : one));
  return new ReadableStream({
    pull(controller) {
      if (bytes.length === 0) controller.close();
      else controller.enqueue(new Uint8Array(bytes.shift()));
    },
  });
}

export function events(...pieces) {
  const headers = { "Content-Type": "text/event-stream; charset=utf-8", "X-Request-ID": "r-7" };
  return () => new Response(stream(...pieces), { headers });
}

/** As `events`, and then nothing, until the request is given up. */
export function endless(...pieces) {
  return (_, { signal }) => {
    const bytes = pieces.map((one) => new Uint8Array(Buffer.from(one)));
    const body = new ReadableStream({
      start: (controller) => signal.addEventListener("abort", () => controller.error(signal.reason)),
      pull(controller) {
        if (bytes.length > 0) controller.enqueue(bytes.shift());
        else return new Promise(() => {});
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
}

export const sent = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

export async function all(iterable) {
  const found = [];
  for await (const one of iterable) found.push(one);
  return found;
}
