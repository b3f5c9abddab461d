import { Sha256 } from "./sha256.js";
const BLOCK = 1024 * 1024;
export async function hashed(file, onRead, signal) {
    const digest = new Sha256();
    for (let at = 0; at < file.size; at += BLOCK) {
        digest.update(new Uint8Array(await file.slice(at, at + BLOCK).arrayBuffer()));
        signal?.throwIfAborted();
        onRead(Math.min(at + BLOCK, file.size));
    }
    return digest.hex();
}
