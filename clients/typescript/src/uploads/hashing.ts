/** A blob's SHA-256, block after block, so that a large file is never in memory whole. */

import { Sha256 } from "./sha256.js";

const BLOCK = 1024 * 1024;

export async function hashed(
  file: Blob,
  onRead: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<string> {
  const digest = new Sha256();
  for (let at = 0; at < file.size; at += BLOCK) {
    digest.update(new Uint8Array(await file.slice(at, at + BLOCK).arrayBuffer()));
    signal?.throwIfAborted();
    onRead(Math.min(at + BLOCK, file.size));
  }
  return digest.hex();
}
