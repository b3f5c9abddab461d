/** A file in Node: by its path, or a blob. Hashed by `node:crypto`, sent by `fetch`. */

import { createHash, randomBytes } from "node:crypto";
import { open, type FileHandle, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { FileChanged } from "../errors.js";
import { type Fetch, type Opened, translated } from "../transport.js";
import { sizeOf, type Source, type StoreReply, type StoreRequest } from "./source.js";

const BLOCK = 256 * 1024;

type Blocks = AsyncGenerator<Uint8Array, void, undefined>;
type Read = (start: number, end: number) => Blocks;

/** Throws what the file system does where there is no such file. */
export async function pathSource(path: string | URL, fetch: Fetch): Promise<Source> {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  const { size } = await stat(name);
  return new NodeSource(basename(name), size, (start, end) => blocksOf(name, start, end), fetch);
}

export function blobSource(file: Blob, fetch: Fetch): Source {
  const name = "name" in file ? String(file.name) : "";
  const read: Read = async function* (start, end) {
    for (let at = start; at < end; at += BLOCK) {
      yield new Uint8Array(await file.slice(at, Math.min(at + BLOCK, end)).arrayBuffer());
    }
  };
  return new NodeSource(name, file.size, read, fetch);
}

async function* blocksOf(path: string, start: number, end: number): Blocks {
  const file = await open(path).catch(unreadable);
  try {
    for (let at = start; at < end; ) {
      const block = await blockAt(file, at, Math.min(BLOCK, end - at));
      if (block.length === 0) throw new FileChanged(`${path} became shorter while it was read.`);
      yield block;
      at += block.length;
    }
  } finally {
    await file.close();
  }
}

async function blockAt(file: FileHandle, at: number, size: number): Promise<Uint8Array> {
  const found = await file.read(new Uint8Array(size), 0, size, at).catch(unreadable);
  return found.buffer.subarray(0, found.bytesRead);
}

function unreadable(error: Error): never {
  throw new FileChanged(`The file cannot be read any more: ${error.message}`, { cause: error });
}

class NodeSource implements Source {
  constructor(
    readonly name: string,
    readonly size: number,
    private readonly read: Read,
    private readonly fetch: Fetch,
  ) {}

  async digest(onRead: (bytes: number) => void, signal?: AbortSignal): Promise<string> {
    const digest = createHash("sha256");
    let done = 0;
    for await (const block of this.read(0, this.size)) {
      signal?.throwIfAborted();
      digest.update(block);
      onRead((done += block.length));
    }
    return digest.digest("hex");
  }

  async send(
    request: StoreRequest,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<StoreReply> {
    const { method, url } = request;
    const broken: { by?: unknown } = {};
    // A presigned request is signed without chunks: the store wants its size.
    const headers = { ...request.headers, "Content-Length": String(sizeOf(request)) };
    const body = streamed(noting(broken, this.body(request, onSent)));
    try {
      const init = { method, headers, body, signal, duplex: "half", redirect: "manual" };
      const response = await this.fetch(url, init as RequestInit);
      const text = await response.text();
      return { status: response.status, etag: response.headers.get("ETag"), text };
    } catch (error) {
      signal.throwIfAborted();
      throw broken.by ?? translated(error);
    }
  }

  private async *body(request: StoreRequest, onSent: (bytes: number) => void): Blocks {
    let sent = 0;
    if (request.head) yield request.head;
    for await (const block of this.read(request.start, request.end)) {
      yield block;
      onSent((sent += block.length));
    }
    if (request.tail) yield request.tail;
  }
}

/** Keeps what the body threw: `fetch` throws something else for it. */
async function* noting(broken: { by?: unknown }, blocks: Blocks): Blocks {
  try {
    yield* blocks;
  } catch (error) {
    broken.by = error;
    throw error;
  }
}

function streamed(blocks: Blocks): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await blocks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await blocks.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Writes a file beside `to` first, so that half a download never has its name. */
export async function written(response: Opened, to: string, seconds: number): Promise<void> {
  const there = await stat(to).catch(() => undefined);
  // A pipe or a device: what has its name is to be written to, not to be replaced.
  if (there !== undefined && !there.isFile()) return blocksTo(to, "w", response, seconds);
  to = await realpath(to).catch(() => to); // A link stays one.
  const part = join(dirname(to), `.${basename(to)}.${randomBytes(4).toString("hex")}.part`);
  try {
    await blocksTo(part, "wx", response, seconds);
    await rename(part, to);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

async function blocksTo(to: string, flags: string, from: Opened, seconds: number): Promise<void> {
  const file = await open(to, flags);
  try {
    const late = "The object store sent nothing for too long.";
    for (let data; (data = await from.read(seconds, late)) !== null; ) await file.writeFile(data);
  } finally {
    await file.close();
  }
}
