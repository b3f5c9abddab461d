// A large file in parts, and a small one with PUT: both read what only an exposed header tells.

import { Client, FIRST_LINE } from "/client.js";

export async function run(config) {
  const client = await new Client(config.gateway).logIn(config);
  return { parts: await inParts(client), put: await withPut(client) };
}

async function inParts(client) {
  const size = 6.5 * 1024 * 1024;
  const text = FIRST_LINE.repeat(Math.ceil(size / FIRST_LINE.length));
  const file = new File([text], "large.txt", { type: "text/plain" });
  const { document_id: id, upload } = await client.announce(file);
  const path = `/api/v1/documents/${id}`;
  const count = Math.ceil(file.size / upload.part_size);
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const { parts } = await client.json("POST", `${path}/parts`, { parts: numbers });
  const done = [];
  for (const { n, url, headers } of parts) {
    const piece = file.slice((n - 1) * upload.part_size, n * upload.part_size);
    const sent = await fetch(url, { method: "PUT", headers, body: piece });
    done.push({ n, etag: sent.headers.get("ETag") });
  }
  const completed = await client.call("POST", `${path}/complete`, { parts: done });
  const deleted = await client.call("DELETE", path);
  return { method: upload.method, done, completed: completed.status, deleted: deleted.status };
}

async function withPut(client) {
  const file = new File([FIRST_LINE], "small.txt", { type: "text/plain" });
  const { document_id: id, upload } = await client.announce(file, { upload_method: "PUT" });
  const sent = await client.upload(upload, file);
  const completed = await client.call("POST", `/api/v1/documents/${id}/complete`);
  const deleted = await client.call("DELETE", `/api/v1/documents/${id}`);
  return {
    sent: sent.status,
    etag: sent.headers.get("ETag"),
    completed: completed.status,
    deleted: deleted.status,
  };
}
