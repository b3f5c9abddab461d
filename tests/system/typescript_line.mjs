// The TypeScript client in Node before the whole stack. It prints what it was told, as JSON.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { ApiError, IngestFailed, KnowledgeBase } from "knowledge-base-client";

const [url, password, folder] = process.argv.slice(2);
const kb = new KnowledgeBase(url, { username: "alice", password });
const IBEX = "The ibex of Val Trupchun weighs one hundred and nine kilograms. It sleeps on ledges.\n";
const code = (error) => (error instanceof ApiError ? [error.code, error.status] : String(error));

async function fromAFileToACitedAnswer() {
  const path = join(folder, "ibex.txt");
  await writeFile(path, IBEX);
  const { document_id: id, sha256 } = await kb.documents.upload(path);
  const seen = [];
  for await (const one of kb.documents.watch(id)) seen.push(one);
  const document = seen.at(-1);
  const documentIds = [id];
  const answer = await kb.ask("What does the ibex weigh?", { documentIds }).collect();
  const whole = await kb.ask("What does the ibex weigh?", { documentIds, stream: false });
  const [found] = await kb.search("ibex", { documentIds, topK: 1 });
  await kb.documents.download(id, `${path}.again`);
  const listed = [];
  for await (const one of kb.documents.list()) listed.push(one.document_id);
  await kb.documents.delete(id);
  const gone = await kb.documents.get(id).catch(code);
  return {
    status: document.status,
    same: document.sha256 === sha256 && whole.answer === answer.answer && listed.includes(id),
    answer: answer.answer,
    from: answer.sources[answer.citations[0].source].filename,
    found: found.document_id === id,
    again: (await readFile(`${path}.again`, "utf8")) === IBEX,
    gone,
  };
}

async function aKeyMayDoWhatItIsFor() {
  const made = await kb.keys.create({ name: "import", scopes: ["usage:read"], expiresIn: 600 });
  const program = new KnowledgeBase(url, { apiKey: made.secret });
  const { subject } = await program.usage();
  const forbidden = await program.me().catch((error) => typeof error.details.decision_id);
  const rotated = await kb.keys.rotate(made.key_id, { overlap: 0 });
  await kb.keys.revoke(made.key_id);
  const listed = (await kb.keys.list()).find(({ key_id }) => key_id === made.key_id);
  return { subject, forbidden, rotated: rotated.secret !== made.secret, revoked: !!listed.revoked_at };
}

/** A program that is stopped, and another one that goes on with what the first has kept. */
async function aLargeFileGoesOn() {
  const path = join(folder, "large.pdf");
  const stop = new AbortController();
  let kept;
  const onState = (state) => {
    kept = JSON.stringify(state);
    if (Object.keys(state.etags).length === 2) stop.abort();
  };
  const options = { onState, signal: stop.signal, atOnce: 1 };
  const stopped = await kb.documents.upload(path, options).catch((error) => error.name);
  const resume = JSON.parse(kept);
  const seen = [];
  const onProgress = ({ sent }) => seen.push(sent);
  const { document_id: id, size } = await kb.documents.upload(path, { resume, onProgress });
  const failed = await kb.documents.wait(id, { timeout: 100 }).catch((error) => error);
  await kb.documents.delete(id);
  return {
    stopped,
    same: id === resume.document_id,
    first: seen.find((sent) => sent > 0) === 2 * resume.part_size,
    last: seen.at(-1) === size,
    failed: failed instanceof IngestFailed && failed.document.status,
  };
}

const told = {
  line: await fromAFileToACitedAnswer(),
  key: await aKeyMayDoWhatItIsFor(),
  large: await aLargeFileGoesOn(),
  wrong: await new KnowledgeBase(url).login("alice", "not her password").catch(code),
};
await kb.logout();
console.log(JSON.stringify(told));
