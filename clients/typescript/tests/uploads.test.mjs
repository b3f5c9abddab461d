// A file's way to the store, on real sockets: as a form, in parts, again, on from where it stopped.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { all, before, client, FakeServer, ID, KnowledgeBase, load, refused, told } from "./support.mjs";

const BODY = Buffer.from("The Aletsch glacier is about twenty kilometres long, as far as we know.");
const PART = 8;
const PARTS = Math.ceil(BODY.length / PART);
const SHA256 = createHash("sha256").update(BODY).digest("hex");
const DENIED = "<Error><Code>AccessDenied</Code></Error>";

/** The gateway's upload routes and a store that keeps what it is sent. */
class Store {
  kept = new Map();
  form = null;
  completed = null;
  announced = [];
  signed = [];
  /** Called with a part's number (0 for a form); what it gives is answered instead. */
  fails = () => undefined;

  constructor(inParts) {
    this.inParts = inParts;
  }

  async started(t) {
    this.server = createServer((request, response) => this.#answer(request, response));
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    t.after(() => this.server.closeAllConnections());
    t.after(() => this.server.close());
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  client(options = {}) {
    const kb = new KnowledgeBase(this.url, { token: "t", ...options });
    kb.core.sleep = async (_, signal) => signal?.throwIfAborted();
    return kb;
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.url);
    const body = Buffer.concat(await all(request));
    const say = (status, body, headers = {}) => response.writeHead(status, headers).end(body);
    const json = (status, body) => say(status, JSON.stringify(body));
    if (url.pathname === "/store") return this.#store(request, url, body, say);
    const sent = JSON.parse(body.toString());
    if (url.pathname.endsWith("/documents")) return json(201, this.#ticket(sent));
    if (url.pathname.endsWith("/parts")) return json(200, { parts: this.#sign(sent.parts) });
    this.completed = sent;
    return json(202, { document_id: ID, status: "processing" });
  }

  #ticket(sent) {
    this.announced.push(sent);
    const url = `${this.url}/store`;
    const upload = this.inParts
      ? { method: "MULTIPART", url, part_size: PART }
      : { method: "POST", url, fields: { key: "k", "x-amz-meta-filename": "ü" } };
    return { document_id: ID, workflow_id: "w", complete_url: "/", upload };
  }

  #sign(numbers) {
    this.signed.push(...numbers);
    const headers = { "X-Signed": "1" };
    return numbers.map((n) => ({ n, url: `${this.url}/store?n=${n}`, headers, expires_at: "" }));
  }

  #store(request, url, body, say) {
    assert.equal(request.headers.authorization, undefined);
    // A store refuses what comes in chunks.
    assert.equal(Number(request.headers["content-length"]), body.length);
    const n = Number(url.searchParams.get("n"));
    const failure = this.fails(n);
    if (failure === "reset") return request.socket.resetAndDestroy();
    if (failure !== undefined) return say(...failure);
    if (n === 0) {
      this.form = fileOf(request, body);
      return say(204);
    }
    assert.equal(request.headers["x-signed"], "1");
    this.kept.set(n, body);
    return say(200, "", { ETag: `"${createHash("md5").update(body).digest("hex")}"` });
  }

  get whole() {
    const parts = [...this.kept].sort(([one], [other]) => one - other);
    return Buffer.concat(parts.map(([, body]) => body)).toString();
  }
}

/** The last field of a form, whose others have to stand before it. */
function fileOf(request, body) {
  const [, boundary] = /^multipart\/form-data; boundary=(\w+)$/.exec(request.headers["content-type"]);
  const parts = body.toString().split(`--${boundary}`);
  assert.equal(parts.at(-1), "--\r\n");
  assert(parts[1].includes('name="key"\r\n\r\nk\r\n'));
  assert(parts[2].includes('name="x-amz-meta-filename"\r\n\r\nü\r\n'));
  const [head, file] = parts[3].split("\r\n\r\n");
  assert(head.includes('name="file"; filename="file"'));
  return file.slice(0, -2);
}

/** The next times it is sent this part, the store answers so. */
function failing(store, n, ...answers) {
  store.fails = (sent) => (sent === n ? answers.shift() : undefined);
}

async function file(t, body = BODY) {
  const folder = await mkdtemp(join(tmpdir(), "kb-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "glacier.txt");
  await writeFile(path, body);
  return path;
}

test("SHA-256 is what everybody has it to be, whatever pieces the bytes come in", async () => {
  const { Sha256 } = await load("uploads/sha256");
  const { hashed } = await load("uploads/hashing");
  const bytes = randomBytes(1000);
  for (let size = 0; size <= 200; size++) {
    const digest = new Sha256();
    const cut = (size * 7) % (size + 1);
    digest.update(bytes.subarray(0, cut));
    digest.update(bytes.subarray(cut, size));
    const expected = createHash("sha256").update(bytes.subarray(0, size)).digest("hex");
    assert.equal(digest.hex(), expected, size);
  }
  const large = randomBytes(2_500_000);
  const seen = [];
  const found = await hashed(new Blob([large]), (read) => seen.push(read));
  assert.equal(found, createHash("sha256").update(large).digest("hex"));
  assert.deepEqual(seen, [1048576, 2097152, 2500000]);
});

test("a small file goes as a form, with its checksum, and is then completed", async (t) => {
  const store = await new Store(false).started(t);
  for (const one of [await file(t), new File([BODY], "glacier.txt")]) {
    const seen = [];
    const options = { onProgress: (told) => seen.push(told), contentType: "text/plain" };
    const found = await store.client().documents.upload(one, options);
    const about = { size: BODY.length, sha256: SHA256 };
    assert.deepEqual(found, { document_id: ID, filename: "glacier.txt", ...about });
    const announced = { filename: "glacier.txt", ...about, content_type: "text/plain" };
    assert.deepEqual(store.announced.at(-1), announced);
    assert.equal(store.form, BODY.toString());
    assert.deepEqual(store.completed, {});
    assert.deepEqual(seen[0], { read: BODY.length, sent: 0, total: BODY.length });
    assert.deepEqual(seen.at(-1), { read: BODY.length, sent: BODY.length, total: BODY.length });
  }
});

test("a form is sent again where the store was away, and what it told is taken back", async (t) => {
  for (const failure of [[500], [503], "reset"]) {
    const store = await new Store(false).started(t);
    failing(store, 0, failure);
    const seen = [];
    const onProgress = ({ sent }) => seen.push(sent);
    await store.client().documents.upload(await file(t), { onProgress });
    assert.equal(store.form, BODY.toString());
    assert.deepEqual(seen.slice(-2), [0, BODY.length]);
  }
});

test("a refused form says why, at once", async (t) => {
  const store = await new Store(false).started(t);
  failing(store, 0, [400, "<Code>EntityTooLarge</Code>"]);
  const uploading = store.client().documents.upload(await file(t));
  await assert.rejects(uploading, { name: "StoreRefused", status: 400, code: "EntityTooLarge" });
  assert.equal(store.completed, null);
});

test("a large file goes in parts, several at once; the state is told with each", async (t) => {
  const store = await new Store(true).started(t);
  const [seen, states] = [[], []];
  const onProgress = ({ sent }) => seen.push(sent);
  const onState = (state) => states.push(Object.keys(state.etags).length);
  await store.client().documents.upload(await file(t), { onProgress, onState });
  assert.equal(store.whole, BODY.toString());
  const numbers = Array.from({ length: PARTS }, (_, index) => index + 1);
  assert.deepEqual(store.completed.parts.map(({ n }) => n), numbers);
  assert.deepEqual(states, [0, ...numbers]);
  assert.equal(Math.max(...seen), BODY.length);
  assert.equal(seen.at(-1), BODY.length);
});

test("a part waits for no other: as many are on their way as may be", async (t) => {
  const store = await new Store(true).started(t);
  const all = Math.ceil(BODY.length / PART);
  const waiting = [];
  const fetch = async (url, init) => {
    if (String(url).includes("/store?n=")) {
      await new Promise((resolve) => {
        waiting.push(resolve);
        if (waiting.length === all) waiting.forEach((go) => go());
      });
    }
    return globalThis.fetch(url, init);
  };
  await store.client({ fetch }).documents.upload(await file(t), { atOnce: all });
  assert.equal(store.whole, BODY.toString());
  assert.equal(store.signed.length, all);
});

test("an address that expired is signed again", async (t) => {
  const store = await new Store(true).started(t);
  failing(store, 3, [403, DENIED]);
  await store.client().documents.upload(await file(t));
  assert.equal(store.whole, BODY.toString());
  assert.equal(store.signed.filter((n) => n === 3).length, 2);
});

test("an upload goes on where it stopped: what the store has is not sent again", async (t) => {
  const store = await new Store(true).started(t);
  const path = await file(t);
  failing(store, 5, [503], [503]);
  const once = store.client({ retries: { times: 1 } });
  const stopped = await once.documents.upload(path, { atOnce: 1 }).catch((error) => error);
  assert(stopped instanceof client.UploadInterrupted, stopped);
  assert(stopped.cause instanceof client.StoreRefused);
  const resume = JSON.parse(JSON.stringify(stopped.state));
  assert.deepEqual(Object.keys(resume.etags), ["1", "2", "3", "4"]);
  store.signed = [];
  const seen = [];
  const onProgress = ({ sent }) => seen.push(sent);
  await store.client().documents.upload(path, { resume, onProgress });
  assert.equal(store.whole, BODY.toString());
  assert.deepEqual([Math.min(...store.signed), store.announced.length], [5, 1]);
  assert.equal(seen.find((sent) => sent > 0), 4 * PART);
});

test("who stops it has the state to go on with", async (t) => {
  const store = await new Store(true).started(t);
  const path = await file(t);
  const stop = new AbortController();
  let last;
  const onState = (state) => {
    last = state;
    if (Object.keys(state.etags).length === 3) stop.abort();
  };
  const options = { onState, signal: stop.signal, atOnce: 1 };
  await assert.rejects(store.client().documents.upload(path, options), { name: "AbortError" });
  assert.equal(store.completed, null);
  await store.client().documents.upload(path, { resume: last });
  assert.equal(store.whole, BODY.toString());
});

test("the checksum is told before anything is sent, and may end the upload", async (t) => {
  const store = await new Store(true).started(t);
  const seen = [];
  const [onDigest, onAnnounced] = [(one) => seen.push(one), (one) => seen.push(one)];
  await store.client().documents.upload(await file(t), { onDigest, onAnnounced });
  assert.deepEqual(seen, [SHA256, ID]);
  const isThere = async () => {
    throw new RangeError("It is there already.");
  };
  const uploading = store.client().documents.upload(await file(t), { onDigest: isThere });
  await assert.rejects(uploading, RangeError);
  assert.equal(store.announced.length, 1);
});

test("what cannot go on begins anew: another file, or an upload that is over", async () => {
  const { upload } = await load("uploads/upload");
  for (const code of ["changed", "NOT_FOUND", "CONFLICT"]) {
    const sha256 = code === "changed" ? "0".repeat(64) : SHA256;
    const document_id = "0199f0c2-0000-7000-8000-00000000000f";
    const resume = { document_id, size: BODY.length, sha256, part_size: PART, etags: {} };
    const server = new FakeServer();
    const gone = refused(code === "CONFLICT" ? 409 : 404, code);
    const ticket = { document_id: ID, upload: { method: "POST", url: "http://store/", fields: {} } };
    server.usual = (url) => {
      const { pathname } = new URL(url);
      if (pathname.includes(document_id)) return gone();
      return pathname.endsWith("/documents") ? told(201, ticket)() : told(200, {})();
    };
    const found = await upload(before(server).kb.core, new Blob([BODY]), { resume });
    assert.equal(found.document_id, ID);
  }
});

test("a file that shrinks is not sent as if it had not", async (t) => {
  const store = await new Store(true).started(t);
  const path = await file(t);
  store.fails = () => void writeFile(path, BODY.subarray(0, 4 * PART));
  const uploading = store.client().documents.upload(path, { atOnce: 1 });
  const found = await uploading.catch((error) => error);
  assert(found.cause instanceof client.FileChanged, found.cause);
});

test("a store that takes the bytes and says nothing is given up", async (t) => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  t.after(() => silent.closeAllConnections());
  t.after(() => silent.close());
  const url = `http://127.0.0.1:${silent.address().port}/`;
  const server = new FakeServer();
  const ticket = { document_id: ID, upload: { method: "POST", url, fields: {} } };
  server.answers = [told(201, ticket), (...given) => fetch(...given)];
  const { kb } = before(server, { token: "t", retries: { times: 0 }, timeouts: { head: 0.1 } });
  await assert.rejects(kb.documents.upload(new Blob([BODY])), client.TimedOut);
});

// --- what became of it ----------------------------------------------------------------------------

const document = (status, more = {}) => ({ document_id: ID, status, error: null, ...more });

test("a document is watched until it is settled, less and less often", async () => {
  const server = new FakeServer();
  server.answers = [
    told(200, document("processing", { stage: "queued" }), { ETag: 'W/"1"' }),
    ...Array.from({ length: 9 }, () => told(304)),
    told(200, document("processing", { stage: "reading" }), { ETag: 'W/"2"' }),
    told(200, document("indexed"), { ETag: 'W/"3"' }),
  ];
  const { kb, waits } = before(server);
  const found = await all(kb.documents.watch(ID));
  const stages = [["processing", "queued"], ["processing", "reading"], ["indexed", undefined]];
  assert.deepEqual(found.map(({ status, stage }) => [status, stage]), stages);
  assert.equal(server.requests[1].headers.get("If-None-Match"), 'W/"1"');
  assert(waits[1] < waits[8] && waits[8] <= 5);
});

test("a document that failed is an error to who waits, and waiting ends at some time", async () => {
  const server = new FakeServer();
  const { kb } = before(server);
  server.answers = [told(200, document("failed", { error: "It is no PDF." }))];
  await assert.rejects(kb.documents.wait(ID), { name: "IngestFailed", message: /It is no PDF/ });
  server.usual = told(200, document("processing"));
  await assert.rejects(kb.documents.wait(ID, { timeout: 0.01 }), client.TimedOut);
});

test("all pages are gone through: an empty one in the middle is not the last", async () => {
  const server = new FakeServer();
  const pages = [[[document("indexed")], "a"], [[], "b"], [[document("failed")], null]];
  server.answers = pages.map(([documents, next_cursor]) => told(200, { documents, next_cursor }));
  const found = await all(before(server).kb.documents.list({ owner: "bob" }));
  assert.deepEqual(found.map(({ status }) => status), ["indexed", "failed"]);
  assert.equal(server.requests.at(-1).url.search, "?limit=100&cursor=b&owner=bob");
});

test("a download is there whole or not at all, and is asked for without a credential", async (t) => {
  const path = await file(t);
  const to = `${path}.again`;
  const server = new FakeServer();
  const { kb } = before(server);
  const leads = told(200, { url: "http://store/file?signed", expires_at: "" });
  server.answers = [leads, () => new Response(DENIED, { status: 403 })];
  await assert.rejects(kb.documents.download(ID, to), { name: "StoreRefused", code: "AccessDenied" });
  server.answers = [leads, () => new Response(BODY)];
  await kb.documents.download(ID, to);
  assert.deepEqual(await readFile(to), BODY);
  server.answers = [leads, () => new Response("new")];
  await symlink(to, `${to}.link`);
  await kb.documents.download(ID, `${to}.link`);
  assert.deepEqual([await readFile(to, "utf8"), await readlink(`${to}.link`)], ["new", to]);
  await rm(`${to}.link`);
  assert.equal((await readdir(join(path, ".."))).length, 2);
  assert.equal(server.requests.at(-1).headers.get("Authorization"), null);
  server.answers = [leads, () => new Response(BODY)];
  await assert.rejects(kb.documents.download(ID, join(path, "..")), { code: "EISDIR" });
});
