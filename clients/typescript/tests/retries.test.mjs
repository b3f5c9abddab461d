// What is sent again, when, and with what; and who asks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { before, broken, client, FakeServer, ID, KnowledgeBase, refused, told } from "./support.mjs";

const NEW_KEY = { name: "n", scopes: ["query:run"] };
const SAFE = {
  me: (kb) => kb.me(),
  usage: (kb) => kb.usage(),
  "keys.list": (kb) => kb.keys.list(),
  "documents.get": (kb) => kb.documents.get(ID),
  "documents.delete": (kb) => kb.documents.delete(ID),
  search: (kb) => kb.search("tea?"),
  "keys.create": (kb) => kb.keys.create(NEW_KEY),
};
const UNSAFE = {
  ask: (kb) => kb.ask("tea?").collect(),
  whole: (kb) => kb.ask("tea?", { stream: false }),
  "keys.rotate": (kb) => kb.keys.rotate("k"),
  logout: (kb) => kb.logout(),
};
const LOST = {
  reset: broken("ECONNRESET"),
  "hung up": broken("UND_ERR_SOCKET"),
  "a browser's": () => {
    throw new TypeError("Failed to fetch");
  },
  "a bad gateway": told(502, {}),
  "no time": refused(504, "TEMPORAL_TIMEOUT"),
};
const isTeapot = (error) => error.code === "HTTP_418";
const key = ({ headers }) => headers.get("Idempotency-Key");

test("what may be done twice is sent again, with the same key", async () => {
  for (const [name, call] of Object.entries(SAFE)) {
    for (const [how, lost] of Object.entries(LOST)) {
      const server = new FakeServer();
      server.answers = [lost, told(418, {})];
      const { kb, waits } = before(server);
      await assert.rejects(call(kb), isTeapot, `${name}: ${how}`);
      const [first, second] = server.requests;
      assert.equal(waits.length, 1);
      assert.equal(first.body, second.body);
      assert.equal(key(first), key(second));
      assert.equal(key(first) !== null, name === "keys.create");
    }
  }
});

test("what may have been done is not", async () => {
  for (const [name, call] of Object.entries(UNSAFE)) {
    for (const lost of Object.values(LOST)) {
      const server = new FakeServer();
      server.answers = [lost];
      await assert.rejects(call(before(server).kb), client.KnowledgeBaseError, name);
      assert.equal(server.requests.length, 1);
    }
  }
});

test("what was not done is sent again, after the time that the server said", async () => {
  const firsts = [
    refused(429, "RATE_LIMITED", { "Retry-After": "7" }),
    refused(503, "OVERLOADED", { "Retry-After": "7" }),
    broken("ECONNREFUSED"),
  ];
  for (const call of [...Object.values(SAFE), ...Object.values(UNSAFE)]) {
    for (const first of firsts) {
      const server = new FakeServer();
      server.answers = [first, told(418, {})];
      const { kb, waits } = before(server);
      await assert.rejects(call(kb), isTeapot);
      const [least, most] = first === firsts[2] ? [0, 1] : [7, 8];
      assert(waits.length === 1 && waits[0] > least && waits[0] < most, waits);
    }
  }
});

test("what was deleted and not told is deleted; without a first try it is a wrong id", async () => {
  const server = new FakeServer();
  const { kb } = before(server);
  server.answers = [broken("ECONNRESET"), refused(404, "NOT_FOUND")];
  await kb.documents.delete(ID);
  server.answers = [refused(404, "NOT_FOUND")];
  await assert.rejects(kb.documents.delete(ID), { code: "NOT_FOUND" });
});

test("a try that was not let in has deleted nothing, one that failed on the way may have", async () => {
  const later = { "Retry-After": "1" };
  const notBegun = [
    broken("ECONNREFUSED"),
    refused(429, "RATE_LIMITED", later),
    refused(503, "OVERLOADED", later),
    refused(503, "POLICY_UNAVAILABLE", later),
  ];
  const maybeDone = [...Object.values(LOST), refused(503, "STORAGE_UNAVAILABLE", later)];
  for (const first of [...notBegun, ...maybeDone]) {
    const server = new FakeServer();
    server.answers = [first, refused(404, "NOT_FOUND")];
    const deleting = before(server).kb.documents.delete(ID);
    if (maybeDone.includes(first)) await deleting;
    else await assert.rejects(deleting, { code: "NOT_FOUND" });
  }
});

test("a certificate that is not trusted is told at once: it will not be in a second", async () => {
  for (const code of ["DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"]) {
    const server = new FakeServer();
    server.answers = [broken(code)];
    await assert.rejects(before(server).kb.me(), client.NotConnected);
    assert.equal(server.requests.length, 1);
  }
});

test("it ends at some time, with waits that grow; a long wait is the caller's", async () => {
  const server = new FakeServer();
  server.usual = broken("ECONNREFUSED");
  const { kb, waits } = before(server, { token: "t", retries: { times: 3 } });
  await assert.rejects(kb.me(), client.NotConnected);
  assert.equal(server.requests.length, 4);
  assert(waits[0] < 0.6 && waits[2] > 0.6 && waits[2] <= 2);
  server.usual = refused(429, "QUOTA_EXCEEDED", { "Retry-After": "3480" });
  const spent = { code: "QUOTA_EXCEEDED", retryAfter: 3480, requestId: "r-1" };
  await assert.rejects(kb.ask("tea?").collect(), spent);
  assert.equal(server.requests.length, 5);
});

test("a server without Redis makes it without a key, which is then not repeated", async () => {
  const server = new FakeServer();
  const { kb } = before(server);
  const away = refused(503, "SHARED_STATE_UNAVAILABLE", { "Retry-After": "1" });
  server.answers = [away, told(201, { key_id: "k" })];
  assert.equal((await kb.keys.create(NEW_KEY)).key_id, "k");
  server.answers = [away, broken("ECONNRESET")];
  await assert.rejects(kb.keys.create(NEW_KEY), client.ConnectionBroken);
  assert.deepEqual(server.requests.map((one) => key(one) !== null), [true, false, true, false]);
});

test("the same request under way is waited for", async () => {
  const server = new FakeServer();
  const underWay = refused(409, "CONFLICT", { "Retry-After": "2" });
  server.answers = [underWay, refused(409, "CONFLICT")];
  const creating = before(server).kb.keys.create({ ...NEW_KEY, idempotencyKey: "mine" });
  await assert.rejects(creating, { code: "CONFLICT" });
  assert.deepEqual(server.requests.map(key), ['"mine"', '"mine"']);
});

test("a signal that is raised while it waits ends the waiting", async () => {
  const server = new FakeServer();
  server.usual = broken("ECONNREFUSED");
  const kb = new KnowledgeBase("http://kb.test", { token: "t", fetch: server.fetch });
  const stop = new AbortController();
  const waiting = kb.documents.get(ID, { signal: stop.signal });
  setImmediate(() => stop.abort());
  await assert.rejects(waiting, { name: "AbortError" });
});

// --- who asks -------------------------------------------------------------------------------------

const token = (access_token, expires_in = 86_400) =>
  told(200, { access_token, expires_in, token_type: "Bearer", expires_at: "" });
const bearers = (server) =>
  server.requests.map(({ headers }) => headers.get("Authorization")?.slice(7) ?? "-");
const ACCOUNT = { username: "alice", password: "secret" };

test("a token is got when it is needed, again when it was ended, and not for ever", async () => {
  const server = new FakeServer();
  const { kb } = before(server, ACCOUNT);
  server.answers = [token("one")];
  await Promise.all([kb.me(), kb.me()]);
  server.answers = [refused(401, "TOKEN_EXPIRED"), token("two")];
  await kb.me();
  const no = refused(401, "UNAUTHENTICATED");
  server.answers = [no, token("three"), no];
  await assert.rejects(kb.me(), { code: "UNAUTHENTICATED", status: 401 });
  const expected = ["-", "one", "one", "one", "-", "two", "two", "-", "three"];
  assert.deepEqual(bearers(server), expected);
});

test("a signal ends the waiting for a login that others wait for, too", async () => {
  const server = new FakeServer();
  let answer;
  server.answers = [() => new Promise((resolve) => (answer = () => resolve(token("one")())))];
  const { kb } = before(server, ACCOUNT);
  const stop = new AbortController();
  const others = kb.me();
  const stopped = kb.documents.get(ID, { signal: stop.signal });
  stop.abort();
  await assert.rejects(stopped, { name: "AbortError" });
  await assert.rejects(kb.usage({ signal: AbortSignal.abort() }), { name: "AbortError" });
  answer();
  await others;
  assert.deepEqual(bearers(server), ["-", "one"]);
});

test("a wrong password is told at once: each attempt counts against the account", async () => {
  const server = new FakeServer();
  server.usual = refused(401, "INVALID_CREDENTIALS");
  await assert.rejects(before(server, ACCOUNT).kb.me(), { code: "INVALID_CREDENTIALS" });
  assert.equal(server.requests.length, 1);
});

test("a token that is about to end is replaced, so that it does not end on the way", async () => {
  const server = new FakeServer();
  const { kb } = before(server, ACCOUNT);
  let now = 0;
  kb.core.session.now = () => now;
  server.answers = [token("one", 600), told(200, {}), token("two", 600)];
  await kb.me();
  now = 571;
  await kb.me();
  assert.equal(bearers(server).at(-1), "two");
});

test("login keeps the token and not the password; logout forgets it", async () => {
  const server = new FakeServer();
  const { kb } = before(server, {});
  server.answers = [token("one")];
  assert.equal((await kb.login("alice", "secret")).access_token, "one");
  server.answers = [refused(401, "TOKEN_EXPIRED")];
  await assert.rejects(kb.me(), { code: "TOKEN_EXPIRED" });
  server.answers = [told(204)];
  await kb.logout({ allTokens: true });
  assert.equal(server.requests.at(-1).url.search, "?all=true");
  await kb.me();
  assert.deepEqual(bearers(server), ["-", "one", "one", "-"]);
});

test("cookies are sent where they are wanted alone, with the header against forgery", async () => {
  const server = new FakeServer();
  await before(server).kb.search("tea?").catch(() => {});
  const { kb } = before(server, { cookies: true });
  await kb.me();
  await kb.search("tea?").catch(() => {});
  const seen = server.requests.map(({ init, headers }) => [
    init.credentials,
    headers.get("X-CSRF-Protection"),
    headers.has("Authorization"),
  ]);
  assert.deepEqual(seen, [
    ["omit", null, true],
    ["same-origin", null, false],
    ["same-origin", "1", false],
  ]);
  assert(server.requests.every(({ init }) => init.redirect === "manual"));
});

test("a redirect is no answer: who leads to another page has deleted nothing", async () => {
  const calls = [(kb) => kb.documents.delete(ID), (kb) => kb.keys.revoke("k"), UNSAFE.logout, SAFE.me];
  for (const call of calls) {
    const server = new FakeServer();
    server.answers = [told(302, undefined, { Location: "https://login.example.com/" })];
    await assert.rejects(call(before(server).kb), client.ProtocolError);
    assert.equal(server.requests.length, 1);
  }
});

test("a time-out may be as long as anybody likes", async () => {
  const server = new FakeServer();
  server.usual = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return new Response("{}");
  };
  await before(server, { token: "t", timeouts: { head: Infinity } }).kb.me();
});

test("two credentials, half of one, and one that is no word are refused, unseen", () => {
  const wrong = [
    { apiKey: "a", token: "b" },
    { apiKey: "a", ...ACCOUNT },
    { token: "a", cookies: true },
    { username: "u" },
    { apiKey: "hidden\r\nX: y" },
    { token: "" },
  ];
  for (const options of wrong) {
    assert.throws(
      () => new KnowledgeBase("http://kb.test", options),
      (error) => error instanceof TypeError && !error.message.includes("hidden"),
    );
  }
  for (const url of ["kb", "ftp://kb", "http://u:p@kb", "http://kb/?a=b", "http://kb/#a"]) {
    assert.throws(() => new KnowledgeBase(url), TypeError, url);
  }
});

test("an id is one step of the path, behind the base's own", async () => {
  const server = new FakeServer();
  const kb = new KnowledgeBase("http://kb.test/below/", { token: "t", fetch: server.fetch });
  await kb.documents.get("../keys?x", { owner: "bob" });
  const { pathname, search } = server.requests[0].url;
  assert.equal(pathname + search, "/below/api/v1/documents/..%2Fkeys%3Fx?owner=bob");
});

test("what can be no id is not sent: as a step of the path it would lead elsewhere", async () => {
  const server = new FakeServer();
  const { kb } = before(server);
  const calls = [
    (id) => kb.documents.get(id),
    (id) => kb.documents.delete(id),
    (id) => kb.documents.wait(id),
    (id) => kb.documents.contentUrl(id),
    (id) => kb.keys.revoke(id),
    (id) => kb.keys.rotate(id),
  ];
  for (const call of calls) {
    for (const id of ["", ".", "..", "\ud800", "Ⅷ", undefined]) {
      await assert.rejects(call(id), /is no id/);
    }
  }
  assert.deepEqual(server.requests, []);
});
