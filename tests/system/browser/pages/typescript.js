// The TypeScript client in a page of another origin: a form, parts, an answer, leaving, errors.

import { cited, KnowledgeBase } from "/client/index.js";
import { FIRST_LINE } from "/client.js";

export async function run({ gateway, username, password }) {
  const kb = new KnowledgeBase(gateway);
  await kb.login(username, password);
  return {
    form: await asForm(kb),
    parts: await inParts(kb),
    refused: await refused(gateway),
    loaded: performance.getEntriesByType("resource").map(({ name }) => new URL(name).pathname),
  };
}

async function asForm(kb) {
  const file = new File([FIRST_LINE.repeat(3)], "Ein Leuchtturm – €.md");
  const seen = [];
  const uploaded = await kb.documents.upload(file, { onProgress: (told) => seen.push(told) });
  const { document_id: id, sha256 } = uploaded;
  const document = await kb.documents.wait(id, { timeout: 110 });
  const url = await kb.documents.contentUrl(id);
  const answer = await asked(kb, id);
  const left = await leaves(kb, id);
  const [found] = await kb.search("lighthouse", { documentIds: [id] });
  const listed = await kb.documents.page({ limit: 100 });
  await kb.documents.delete(id);
  const gone = await kb.documents.get(id).catch((error) => error);
  return {
    document,
    answer,
    left,
    url,
    last: seen.at(-1),
    isTheSame: sha256 === document.sha256,
    found: found.filename,
    listed: listed.documents.some((one) => one.document_id === id),
    gone: [gone.code, gone.status, typeof gone.requestId],
  };
}

async function asked(kb, id) {
  const stream = kb.ask("When was the lighthouse lit?", { documentIds: [id] });
  const names = [];
  for await (const { event } of stream) {
    // The model says no more until this has arrived: a collected stream would never end.
    if (event === "token" && !names.includes("token")) await fetch("/first-token", { method: "POST" });
    names.push(event);
  }
  const { answer, citations, sources } = stream.soFar;
  const parts = citations.map((one) => cited(answer, one));
  return { names, answer, parts, from: sources[0].filename, requestId: typeof stream.requestId };
}

/** Hashed in a worker, stopped after its first part, gone on with. */
async function inParts(kb) {
  const text = FIRST_LINE.repeat(Math.ceil((6.5 * 1024 * 1024) / FIRST_LINE.length));
  const file = new File([text], "large.txt");
  const stop = new AbortController();
  let [state, seen] = [null, []];
  const onState = (now) => {
    state = now;
    if (Object.keys(now.etags).length === 1) stop.abort();
  };
  const options = { onState, signal: stop.signal, atOnce: 1 };
  const stopped = await kb.documents.upload(file, options).catch((error) => error.name);
  const resume = JSON.parse(JSON.stringify(state));
  const onProgress = (told) => seen.push(told);
  const done = await kb.documents.upload(file, { resume, onProgress });
  const sent = seen.map((told) => told.sent);
  await kb.documents.delete(done.document_id);
  return {
    stopped,
    isOne: done.document_id === resume.document_id,
    sha256: done.sha256,
    expected: await digest(file),
    read: seen.filter((told) => told.sent === 0).length,
    first: sent.find((bytes) => bytes > 0) === resume.part_size,
    last: sent.at(-1) === file.size,
    moved: new Set(sent).size,
  };
}

async function digest(file) {
  const found = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(found), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function leaves(kb, id) {
  const stream = kb.ask("Tell me endlessly of the lighthouse.", { documentIds: [id] });
  let tokens = 0;
  for await (const told of stream) {
    if (told.event === "token" && ++tokens === 3) break;
  }
  return [tokens, stream.soFar.finish_reason];
}

async function refused(gateway) {
  const wrong = await new KnowledgeBase(gateway).login("nobody", "wrong").catch((error) => error);
  const away = new KnowledgeBase("http://127.0.0.1:9", { retries: { times: 0 }, token: "t" });
  const broken = await away.me().catch((error) => error);
  return [wrong.code, wrong.status, broken.name];
}
