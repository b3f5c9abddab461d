// Server-sent events by WHATWG's rules, however the bytes are cut.

import assert from "node:assert/strict";
import { test } from "node:test";

import { client, load } from "./support.mjs";

const { SseParser } = await load("sse");
const BIG = { line: 1 << 20, event: 1 << 20 };

const CASES = [
  ["data: a\n\n", [["message", "a"]]],
  ["event: x\ndata: a\n\n", [["x", "a"]]],
  ["event: x\r\ndata: a\r\n\r\nevent: y\rdata: b\r\r", [["x", "a"], ["y", "b"]]],
  ["\ufeffdata: a\n\n", [["message", "a"]]],
  ["\ufeff\ufeffdata: a\n\ndata: b\n\n", [["message", "b"]]],
  ["data: a\n\n\ufeffdata: b\n\n", [["message", "a"]]],
  ["data:a\ndata:  b\ndata\ndata:\n\n", [["message", "a\n b\n\n"]]],
  ["data\n\n", [["message", ""]]],
  ["event: x\n\ndata: a\n\n", [["message", "a"]]],
  [": hello\n\n:\ndata: a\n:b\n\n", [["message", "a"]]],
  ["event: x\nevent\ndata: a\n\n", [["message", "a"]]],
  ["dat: a\nDATA: a\n data: a\ndata: b\n\n", [["message", "b"]]],
  ["\n\n\r\n\rdata: a\n\n\n", [["message", "a"]]],
  ["data: a\n\ndata: half", [["message", "a"]]],
  ["data: a\n", []],
  ["id: 7\nretry: 30\ndata: a\n\n", [["message", "a"]]],
  ["data: é\u2028\u0085\v\f 😀\n\n", [["message", "é\u2028\u0085\v\f 😀"]]],
  [Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xf0, 0x9f, 10, 10]), [["message", "\ufffd\ufffd"]]],
  ["data: \0\n\n", [["message", "\0"]]],
];

function parsed(pieces) {
  const parser = new SseParser(BIG);
  return pieces.flatMap((piece) => parser.feed(piece)).map(({ name, data }) => [name, data]);
}

test("what is sent is read wherever it is cut: at every boundary, and everywhere at once", () => {
  for (const [text, expected] of CASES) {
    const bytes = Buffer.from(text);
    for (let at = 0; at <= bytes.length; at++) {
      const found = parsed([bytes.subarray(0, at), bytes.subarray(at)]);
      assert.deepEqual(found, expected, `${JSON.stringify(text)} at ${at}`);
    }
    assert.deepEqual(parsed([...bytes].map((byte) => Uint8Array.of(byte))), expected);
  }
});

test("comments are counted: they are signs of life", () => {
  const parser = new SseParser(BIG);
  parser.feed(Buffer.from(": connected\n\n: pi"));
  assert.equal(parser.comments, 1);
  parser.feed(Buffer.from("ng\n\ndata: : x\n\n"));
  assert.equal(parser.comments, 2);
});

test("what is too large is refused before it is kept whole, and what just fits is taken", () => {
  const limits = { line: 106, event: 100 };
  const x = (times) => "x".repeat(times);
  for (const text of [x(107), `${x(107)}\n`, `data: ${x(60)}\ndata: ${x(60)}\n`]) {
    const parser = new SseParser(limits);
    assert.throws(() => parser.feed(Buffer.from(text)), client.ProtocolError, text);
  }
  const [event] = new SseParser(limits).feed(Buffer.from(`data: ${x(100)}\n\n`));
  assert.equal(event.data, x(100));
});
