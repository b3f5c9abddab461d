/** A multipart form (RFC 7578) whose last field is the file: what stands before it and behind. */

import { randomHex } from "../requests.js";

export interface Form {
  readonly head: Uint8Array<ArrayBuffer>;
  readonly tail: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
}

export function formAround(fields: Readonly<Record<string, string>>): Form {
  const boundary = randomHex();
  const begin = (name: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"`;
  const before = Object.entries(fields).map(
    ([name, value]) => `${begin(name)}\r\n\r\n${value}\r\n`,
  );
  before.push(`${begin("file")}; filename="file"\r\n\r\n`);
  const bytes = new TextEncoder();
  return {
    head: bytes.encode(before.join("")),
    tail: bytes.encode(`\r\n--${boundary}--\r\n`),
    contentType: `multipart/form-data; boundary=${boundary}`,
  };
}

function quoted(name: string): string {
  const escapes: Record<string, string> = { '"': "%22", "\r": "%0D", "\n": "%0A" };
  return name.replace(/["\r\n]/g, (letter) => escapes[letter] as string);
}
