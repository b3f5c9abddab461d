// The same page where the gateway does not know its origin: the browser keeps every answer from it.

import { Client, FIRST_LINE, seen } from "/client.js";

export async function run(config) {
  const client = new Client(config.gateway);
  client.headers = { Authorization: `Bearer ${config.token}` };
  const form = new FormData();
  form.append("key", "uploads/anything");
  form.append("file", new File([FIRST_LINE], "x.txt", { type: "text/plain" }));
  return {
    login: await seen(client.logIn(config)),
    list: await seen(client.call("GET", "/api/v1/documents")),
    ask: await seen(client.call("POST", "/api/v1/query", { query: "anything" })),
    // A simple request, which no preflight goes before: it is sent, and its answer stays unread.
    health: await seen(fetch(`${config.gateway}/healthz`)),
    error: await seen(fetch(`${config.gateway}/nothing`)),
    form: await seen(fetch(`${config.s3}/documents`, { method: "POST", body: form })),
  };
}
