import { ConnectionBroken, FileChanged } from "../errors.js";
import { translated } from "../transport.js";
import { hashed } from "./hashing.js";
const UNREACHED = "The object store was not reached, hung up, or lets no page of this origin upload.";
const WORTH_A_WORKER = 1024 * 1024;
export class BlobSource {
    file;
    fetch;
    name;
    size;
    constructor(file, fetch) {
        this.file = file;
        this.fetch = fetch;
        this.name = "name" in file ? String(file.name) : "";
        this.size = file.size;
    }
    async digest(onRead, signal) {
        const worker = this.size < WORTH_A_WORKER ? null : startedWorker();
        try {
            const found = worker === null ? null : await inWorker(worker, this.file, onRead, signal);
            return found ?? (await hashed(this.file, onRead, signal));
        }
        catch (error) {
            signal?.throwIfAborted();
            throw new FileChanged(`The file cannot be read: ${error}`, { cause: error });
        }
        finally {
            worker?.terminate();
        }
    }
    async send(request, onSent, signal) {
        const { start, end, head, tail } = request;
        const parts = [head ?? "", this.file.slice(start, end), tail ?? ""];
        const body = new Blob(parts);
        if (typeof XMLHttpRequest === "undefined")
            return this.fetched(request, body, onSent, signal);
        const before = head?.length ?? 0;
        const ofFile = (sent) => onSent(Math.min(Math.max(sent - before, 0), end - start));
        return sentByXhr(request, body, ofFile, signal).catch((error) => this.explained(error));
    }
    async explained(error) {
        if (!(error instanceof ConnectionBroken))
            throw error;
        await this.file
            .slice(0, 1)
            .arrayBuffer()
            .catch((cause) => {
            throw new FileChanged("The file changed, or is gone.", { cause });
        });
        throw error;
    }
    async fetched({ method, url, headers, start, end }, body, onSent, signal) {
        try {
            const init = { method, headers: { ...headers }, body, signal };
            const response = await this.fetch(url, { ...init, credentials: "omit" });
            onSent(end - start);
            const text = await response.text();
            return { status: response.status, etag: response.headers.get("ETag"), text };
        }
        catch (error) {
            signal.throwIfAborted();
            throw translated(error);
        }
    }
}
function startedWorker() {
    try {
        return new Worker(new URL("./sha256_worker.js", import.meta.url), { type: "module" });
    }
    catch {
        return null;
    }
}
function inWorker(worker, file, onRead, signal) {
    return new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        worker.onerror = (event) => {
            event.preventDefault();
            resolve(null);
        };
        worker.onmessage = ({ data }) => {
            if ("read" in data)
                onRead(data.read);
            else if ("digest" in data)
                resolve(data.digest);
            else
                reject(new Error(data.failed));
        };
        worker.postMessage(file);
    });
}
function sentByXhr({ method, url, headers }, body, onSent, signal) {
    return new Promise((resolve, reject) => {
        const xhr = new XMLHttpRequest();
        const stop = () => xhr.abort();
        xhr.open(method, url);
        for (const [name, value] of Object.entries(headers))
            xhr.setRequestHeader(name, value);
        xhr.upload.onprogress = ({ loaded }) => onSent(loaded);
        xhr.onload = () => {
            const { status, responseText: text } = xhr;
            resolve({ status, etag: xhr.getResponseHeader("ETag"), text });
        };
        xhr.onerror = () => reject(new ConnectionBroken(UNREACHED));
        xhr.onabort = () => reject(signal.reason);
        xhr.onloadend = () => signal.removeEventListener("abort", stop);
        signal.addEventListener("abort", stop, { once: true });
        if (signal.aborted)
            reject(signal.reason);
        else
            xhr.send(body);
    });
}
