// Log in, announce, upload with the form, complete, wait, ask, list, delete.

import { Client, FIRST_LINE, events } from "/client.js";

export async function run(config) {
  const client = await new Client(config.gateway).logIn(config);
  const file = new File([FIRST_LINE.repeat(3)], "Ein Leuchtturm – €.txt", { type: "text/plain" });
  const ticket = await client.announce(file);
  const uploaded = await client.upload(ticket.upload, file);
  const path = `/api/v1/documents/${ticket.document_id}`;
  const completed = await client.json("POST", `${path}/complete`);
  const document = await client.settled(ticket.document_id);
  const asked = await ask(client, ticket.document_id);
  await ask(client, ticket.document_id);
  const listed = await client.json("GET", "/api/v1/documents?limit=5");
  const deleted = await client.call("DELETE", path);
  const gone = await client.call("GET", path);
  return {
    upload_method: ticket.upload.method,
    uploaded: uploaded.status,
    completed: completed.status,
    document,
    asked,
    listed: listed.documents.map((one) => one.filename),
    deleted: deleted.status,
    gone: gone.status,
    gone_code: (await gone.json()).error.code,
    gone_request_id: gone.headers.get("X-Request-ID"),
  };
}

async function ask(client, id) {
  const answer = await client.call("POST", "/api/v1/query", {
    query: "When was the lighthouse lit?", document_ids: [id],
  });
  const found = [];
  for await (const event of events(answer)) {
    const first = event.name === "token" && !found.some(({ name }) => name === "token");
    found.push(event);
    // The model says no more until this has arrived: a collected stream would never end.
    if (first) await fetch("/first-token", { method: "POST" });
  }
  return { status: answer.status, type: answer.headers.get("Content-Type"), events: found };
}
