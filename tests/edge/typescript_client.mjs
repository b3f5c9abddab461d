// The TypeScript client as tests drive it: a line of JSON for each thing to do, and for each thing
// that it is told. `node typescript_client.mjs CLIENT`, where CLIENT is its index.js.
//
// {"id", "do": "ask" | "whole", "url", "token", "query", "leaves_after", "seconds"} asks;
// {"id", "do": "leave"} ends it.
// It says {"id", "head": true}, {"id", "event": [name, data]}, and at last {"id", "ends": …}.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { ApiError, KnowledgeBase } = await import(pathToFileURL(process.argv[2]).href);
const underWay = new Map();

function say(id, told) {
  process.stdout.write(`${JSON.stringify({ id, ...told })}\n`);
}

function client({ url, token, seconds }) {
  // A refusal is what a case is about, and no reason to come again.
  const timeouts = { head: seconds, idle: seconds, wholeAnswer: seconds };
  return new KnowledgeBase(url, { token, retries: { times: 0 }, timeouts });
}

async function ask(wanted) {
  const { id, query, leaves_after: leavesAfter } = wanted;
  const answer = client(wanted).ask(query);
  underWay.set(id, () => answer.close());
  await answer.open();
  say(id, { head: true });
  let [events, ends] = [0, null];
  for await (const told of answer) {
    say(id, { event: [told.event === "other" ? told.name : told.event, told.raw] });
    events += 1;
    ends = told.event === "done" ? "done" : null;
    if (events === leavesAfter) break;
  }
  return { ends };
}

async function whole(wanted) {
  const leaving = new AbortController();
  underWay.set(wanted.id, () => leaving.abort());
  const { signal } = leaving;
  try {
    const answer = await client(wanted).ask(wanted.query, { stream: false, signal });
    return { ends: "done", answer };
  } catch (error) {
    if (signal.aborted) return { ends: null };
    throw error;
  }
}

function failed(error) {
  if (!(error instanceof ApiError)) return { ends: null, failed: error.name, text: String(error) };
  const { code, message, details, status, retryAfter, requestId } = error;
  return { ends: code, failed: error.name, message, details, status, retryAfter, requestId };
}

const doing = { ask, whole };
for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  if (wanted.do === "leave") {
    underWay.get(wanted.id)?.();
    continue;
  }
  doing[wanted.do](wanted)
    .catch(failed)
    .then((told) => say(wanted.id, told));
}
