/** A module worker: is sent a file, tells how far it is, and then its SHA-256. */

import { hashed } from "./hashing.js";

export type Said = { read: number } | { digest: string } | { failed: string };

const here = self as unknown as {
  onmessage: (message: MessageEvent<Blob>) => void;
  postMessage: (said: Said) => void;
};

here.onmessage = ({ data }) => {
  hashed(data, (read) => here.postMessage({ read })).then(
    (digest) => here.postMessage({ digest }),
    (error: unknown) => here.postMessage({ failed: String(error) }),
  );
};
