// Begins to read an answer that never ends, and leaves.

import { Client, FIRST_LINE, events } from "/client.js";

export async function run(config) {
  const client = await new Client(config.gateway).logIn(config);
  const file = new File([FIRST_LINE], "endless.txt", { type: "text/plain" });
  const { document_id: id, upload } = await client.announce(file);
  await client.upload(upload, file);
  await client.json("POST", `/api/v1/documents/${id}/complete`);
  await client.settled(id);
  const leaving = new AbortController();
  const answer = await client.call("POST", "/api/v1/query",
    { query: "Tell me endlessly of the lighthouse." }, { signal: leaving.signal });
  let tokens = 0;
  try {
    for await (const { name } of events(answer)) {
      if (name === "token" && ++tokens === 3) leaving.abort();
    }
  } catch (error) {
    return { tokens, ended: error.name };
  }
  return { tokens, ended: "by itself" };
}
