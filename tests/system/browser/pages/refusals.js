// What a page of an allowed origin can read when it is refused, and what it may not send at all.

import { Client, seen } from "/client.js";

// What Sentry, Datadog, OpenTelemetry and others put into every request of a page.
const ADDED_BY_TOOLS = Object.fromEntries([
  "baggage", "sentry-trace", "tracestate", "x-datadog-origin", "x-datadog-parent-id",
  "x-datadog-sampling-priority", "x-datadog-tags", "x-datadog-trace-id", "last-event-id",
  "x-requested-with", "x-client-version",
].map((name) => [name, "1"]));

export async function run(config) {
  const client = await new Client(config.gateway).logIn(config);
  const nobody = new Client(config.gateway);
  const key = await client.json("POST", "/api/v1/keys", { name: "a page", scopes: ["auth:me"] });
  const asked = {
    wrong_password: nobody.call("POST", "/auth/login", { username: "admin", password: "no" }),
    no_credential: nobody.call("GET", "/api/v1/documents"),
    nonsense: client.call("POST", "/api/v1/query", { query: 1 }),
    no_such_route: client.call("GET", "/api/v1/nothing"),
    no_such_method: client.call("DELETE", "/api/v1/query"),
    too_large: client.call("POST", "/api/v1/query", { query: "x".repeat(3 * 1024 * 1024) }),
    long_address: client.call("GET", `/api/v1/documents?cursor=${"x".repeat(9_000)}`),
    with_api_key: nobody.call("GET", "/api/v1/auth/me", undefined,
      { headers: { "X-API-Key": key.secret } }),
    with_request_id: client.call("GET", "/api/v1/auth/me", undefined,
      { headers: { "X-Request-ID": "from-a-page" } }),
    with_tools: client.call("GET", "/api/v1/auth/me", undefined, { headers: ADDED_BY_TOOLS }),
  };
  const read = {};
  for (const [name, asking] of Object.entries(asked)) read[name] = await told(asking);
  return {
    read,
    other_method: await seen(client.call("PATCH", "/api/v1/documents")),
    other_header: await seen(client.call("GET", "/api/v1/auth/me", undefined,
      { headers: { "X-Forwarded-For": "1.2.3.4" } })),
    with_cookies: await seen(client.call("GET", "/api/v1/auth/me", undefined,
      { credentials: "include" })),
  };
}

async function told(asking) {
  try {
    const answer = await asking;
    const body = await answer.json();
    return {
      status: answer.status,
      code: body.error?.code ?? null,
      same_id: answer.headers.get("X-Request-ID") === (body.error?.details.request_id ?? null),
      request_id: answer.headers.get("X-Request-ID"),
      www_authenticate: answer.headers.get("WWW-Authenticate"),
    };
  } catch (error) {
    return { status: null, error: String(error) };
  }
}
