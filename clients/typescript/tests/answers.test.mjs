// Typed events out of a stream, its one ending, and what leaves it.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";

import { all, before, client, endless, events, FakeServer } from "./support.mjs";
import { KnowledgeBase, sent, told } from "./support.mjs";

const SOURCE = { document_id: "d", filename: "tea.pdf", chunk_id: "d:0", score: 2, text: "Tea." };
const ALL = [
  ["meta", { query_id: "q", model: "m", more: 1 }],
  ["sources", [{ ...SOURCE, page: 2, section: ["Tea"] }]],
  ["token", { text: "Three 😀." }],
  ["citation", { source: 0, start: 6, end: 8 }],
  ["usage", { prompt_tokens: 5, completion_tokens: 2 }],
  ["done", { finish_reason: "stop" }],
];
const TOKEN = sent("token", { text: "x" });
const DONE = sent("done", { finish_reason: "stop" });

function asked(...pieces) {
  const server = new FakeServer();
  server.answers = [events(...pieces)];
  return before(server).kb.ask("tea?");
}

test("events have their types, and their data is as it was sent", async () => {
  const answer = asked(...ALL.map(([name, data]) => sent(name, data)));
  const found = await all(answer);
  assert.deepEqual(found.map((one) => [one.event, one.data]), ALL);
  assert.equal(found[2].raw, JSON.stringify(ALL[2][1]));
  const whole = answer.soFar;
  assert.equal(client.cited(whole.answer, whole.citations[0]), "😀.");
  assert.equal(whole.sources[0].page, 2);
  assert.deepEqual([whole.finish_reason, whole.query_id, answer.requestId], ["stop", "q", "r-7"]);
});

test("what is not known is an event of no type: a newer server stops no client", async () => {
  const odd = [
    ["later", '{"new": 1}'],
    ["toString", "{}"],
    ["token", '{"text": 5}'],
    ["token", "plain words"],
    ["sources", "{}"],
    ["citation", '{"source": true, "start": 0, "end": 1}'],
    ["meta", "[".repeat(100_000)],
  ];
  const text = odd.map(([name, data]) => `event: ${name}\ndata: ${data}\n\n`);
  const found = await all(asked(...text, DONE));
  assert.deepEqual(found.slice(0, -1).map((one) => [one.event, one.name, one.raw]), [
    ...odd.map(([name, data]) => ["other", name, data]),
  ]);
});

test("done ends it, whatever it says, and nothing behind it is told", async () => {
  const found = await all(asked(TOKEN, `event: done\ndata: so\n\n${TOKEN}`, TOKEN));
  assert.deepEqual(found.map((one) => one.event), ["token", "done"]);
});

test("a connection that stays open behind the ending keeps nobody", async () => {
  const server = new FakeServer();
  server.answers = [endless(TOKEN, DONE)];
  const whole = await before(server).kb.ask("tea?").collect();
  assert.equal(whole.finish_reason, "stop");
  assert(server.requests[0].init.signal.aborted);
});

test("an error is thrown with its code; what came before it in the same read is told", async () => {
  const details = { request_id: "r-1", retry_after_s: 3 };
  const error = { code: "DRAINING", message: "So it is.", details };
  const answer = asked(TOKEN + sent("error", { error }));
  await assert.rejects(answer.collect(), (thrown) => {
    assert(thrown instanceof client.ApiError);
    const { code, message, requestId, retryAfter, status } = thrown;
    assert.deepEqual([code, message, requestId, retryAfter], ["DRAINING", "So it is.", "r-1", 3]);
    assert.equal(status, undefined);
    return true;
  });
  assert.equal(answer.soFar.answer, "x");
});

test("an error that says nothing is one all the same", async () => {
  for (const data of ["", "{}", '{"error": 1}', '{"error": {"code": "X"}}', "[]"]) {
    await assert.rejects(asked(`event: error\ndata: ${data}\n\n`).collect(), client.ProtocolError);
  }
});

test("bytes that end without an ending are no answer", async () => {
  for (const text of ["", ": connected\n\n", TOKEN, DONE.slice(0, -1)]) {
    await assert.rejects(asked(text).collect(), client.AnswerIncomplete, text);
  }
});

test("an answer that is no event stream is none", async () => {
  const server = new FakeServer();
  server.answers = [told(200, {})];
  await assert.rejects(before(server).kb.ask("tea?").collect(), client.ProtocolError);
});

test("a whole answer is read, and one of another shape is refused", async () => {
  const server = new FakeServer();
  const { kb } = before(server);
  const whole = { answer: "Three.", citations: [], sources: [SOURCE], usage: null };
  server.answers = [told(200, { ...whole, finish_reason: "stop" })];
  const answer = await kb.ask("tea?", { stream: false });
  assert.deepEqual([answer.answer, answer.sources[0].filename], ["Three.", "tea.pdf"]);
  for (const odd of [null, [], {}, { ...whole, answer: 1 }, { ...whole, sources: [{}] }]) {
    server.answers = [told(200, odd)];
    await assert.rejects(kb.ask("tea?", { stream: false }), client.ProtocolError);
  }
});

test("options are sent by the names of the wire, and what is not given is left out", async () => {
  const server = new FakeServer();
  server.answers = [events(DONE)];
  const options = { topK: 3, documentIds: ["d"], conversationId: "c" };
  await before(server).kb.ask("tea?", options).collect();
  assert.deepEqual(JSON.parse(server.requests[0].body), {
    query: "tea?",
    top_k: 3,
    document_ids: ["d"],
    conversation_id: "c",
    stream: true,
  });
});

// --- on real sockets ------------------------------------------------------------------------------

/** A server that sends this and then nothing; `left` is settled when its client has gone. */
async function holding(t, ...pieces) {
  let gone;
  const left = new Promise((resolve) => (gone = resolve));
  const server = createServer((request, response) => {
    response.on("close", gone);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const piece of pieces) response.write(piece);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}`, left };
}

test("a loop that is left ends the connection, and so does close from elsewhere", async (t) => {
  for (const how of ["break", "throw", "close"]) {
    const { url, left } = await holding(t, TOKEN);
    const answer = new KnowledgeBase(url, { token: "t" }).ask("tea?");
    const loop = async () => {
      for await (const one of answer) {
        assert.equal(one.event, "token");
        if (how === "break") break;
        if (how === "throw") throw new RangeError("mine");
        setImmediate(() => answer.close());
      }
    };
    await (how === "throw" ? assert.rejects(loop(), RangeError) : loop());
    await left;
    assert.deepEqual(await all(answer), []);
  }
});

test("a signal that is raised ends the connection, and its reason is thrown", async (t) => {
  const { url, left } = await holding(t, TOKEN);
  const stop = new AbortController();
  const answer = new KnowledgeBase(url, { token: "t" }).ask("tea?", { signal: stop.signal });
  const loop = async () => {
    for await (const _ of answer) stop.abort(new RangeError("mine"));
  };
  await assert.rejects(loop(), RangeError);
  await left;
  const late = new KnowledgeBase(url, { token: "t" }).ask("tea?", { signal: stop.signal });
  await assert.rejects(late.collect(), RangeError);
});

test("a stream that falls silent is given up, and what came before was told", async () => {
  const server = new FakeServer();
  server.answers = [endless(": connected\n\n", TOKEN, "data")];
  const answer = before(server, { token: "t", timeouts: { idle: 0.05 } }).kb.ask("tea?");
  await assert.rejects(answer.collect(), client.TimedOut);
  assert(server.requests[0].init.signal.aborted);
  assert.equal(answer.soFar.answer, "x");
});

test("who takes his time between two events is not taken for a silent server", async () => {
  const server = new FakeServer();
  server.answers = [events(TOKEN, TOKEN, DONE)];
  const answer = before(server, { token: "t", timeouts: { idle: 0.02 } }).kb.ask("tea?");
  const seen = [];
  for await (const one of answer) {
    seen.push(one.event);
    const until = performance.now() + 50;
    while (performance.now() < until);
  }
  assert.deepEqual(seen, ["token", "token", "done"]);
});

test("a head that does not come is given up", async (t) => {
  const server = createServer(() => {}).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  const url = `http://127.0.0.1:${server.address().port}`;
  const options = { token: "t", retries: { times: 0 }, timeouts: { head: 0.1 } };
  await assert.rejects(new KnowledgeBase(url, options).ask("tea?").collect(), client.TimedOut);
});
