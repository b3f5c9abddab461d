import { createHash, randomBytes } from "node:crypto";
import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { FileChanged } from "../errors.js";
import { translated } from "../transport.js";
import { sizeOf } from "./source.js";
const BLOCK = 256 * 1024;
export async function pathSource(path, fetch) {
    const name = path instanceof URL ? fileURLToPath(path) : path;
    const { size } = await stat(name);
    return new NodeSource(basename(name), size, (start, end) => blocksOf(name, start, end), fetch);
}
export function blobSource(file, fetch) {
    const name = "name" in file ? String(file.name) : "";
    const read = async function* (start, end) {
        for (let at = start; at < end; at += BLOCK) {
            yield new Uint8Array(await file.slice(at, Math.min(at + BLOCK, end)).arrayBuffer());
        }
    };
    return new NodeSource(name, file.size, read, fetch);
}
async function* blocksOf(path, start, end) {
    const file = await open(path).catch(unreadable);
    try {
        for (let at = start; at < end;) {
            const block = await blockAt(file, at, Math.min(BLOCK, end - at));
            if (block.length === 0)
                throw new FileChanged(`${path} became shorter while it was read.`);
            yield block;
            at += block.length;
        }
    }
    finally {
        await file.close();
    }
}
async function blockAt(file, at, size) {
    const found = await file.read(new Uint8Array(size), 0, size, at).catch(unreadable);
    return found.buffer.subarray(0, found.bytesRead);
}
function unreadable(error) {
    throw new FileChanged(`The file cannot be read any more: ${error.message}`, { cause: error });
}
class NodeSource {
    name;
    size;
    read;
    fetch;
    constructor(name, size, read, fetch) {
        this.name = name;
        this.size = size;
        this.read = read;
        this.fetch = fetch;
    }
    async digest(onRead, signal) {
        const digest = createHash("sha256");
        let done = 0;
        for await (const block of this.read(0, this.size)) {
            signal?.throwIfAborted();
            digest.update(block);
            onRead((done += block.length));
        }
        return digest.digest("hex");
    }
    async send(request, onSent, signal) {
        const { method, url } = request;
        const broken = {};
        const headers = { ...request.headers, "Content-Length": String(sizeOf(request)) };
        const body = streamed(noting(broken, this.body(request, onSent)));
        try {
            const init = { method, headers, body, signal, duplex: "half", redirect: "manual" };
            const response = await this.fetch(url, init);
            const text = await response.text();
            return { status: response.status, etag: response.headers.get("ETag"), text };
        }
        catch (error) {
            signal.throwIfAborted();
            throw broken.by ?? translated(error);
        }
    }
    async *body(request, onSent) {
        let sent = 0;
        if (request.head)
            yield request.head;
        for await (const block of this.read(request.start, request.end)) {
            yield block;
            onSent((sent += block.length));
        }
        if (request.tail)
            yield request.tail;
    }
}
async function* noting(broken, blocks) {
    try {
        yield* blocks;
    }
    catch (error) {
        broken.by = error;
        throw error;
    }
}
function streamed(blocks) {
    return new ReadableStream({
        async pull(controller) {
            const { done, value } = await blocks.next();
            if (done)
                controller.close();
            else
                controller.enqueue(value);
        },
        async cancel() {
            await blocks.return();
        },
    }, { highWaterMark: 0 });
}
export async function written(response, to, seconds) {
    const there = await stat(to).catch(() => undefined);
    if (there !== undefined && !there.isFile())
        return blocksTo(to, "w", response, seconds);
    to = await realpath(to).catch(() => to);
    const part = join(dirname(to), `.${basename(to)}.${randomBytes(4).toString("hex")}.part`);
    try {
        await blocksTo(part, "wx", response, seconds);
        await rename(part, to);
    }
    catch (error) {
        await rm(part, { force: true });
        throw error;
    }
}
async function blocksTo(to, flags, from, seconds) {
    const file = await open(to, flags);
    try {
        const late = "The object store sent nothing for too long.";
        for (let data; (data = await from.read(seconds, late)) !== null;)
            await file.writeFile(data);
    }
    finally {
        await file.close();
    }
}
