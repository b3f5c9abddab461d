/** What an answer is told in, one after the other; the last one of a whole answer is `done`. */

import { isObject, ProtocolError, saidError, type KnowledgeBaseError } from "./errors.js";
import type { Answer, Citation, Passage, Usage } from "./models.js";
import type { SseEvent } from "./sse.js";

interface Told<Name extends string, Data> {
  readonly event: Name;
  readonly data: Data;
  /** The data as the text it came as. */
  readonly raw: string;
}

/** Which question this is, and which model answers. */
export type MetaEvent = Told<"meta", { query_id: string; model: string }>;
/** What the answer draws on; citations name them by their place here, from 0. */
export type SourcesEvent = Told<"sources", Passage[]>;
/** A piece of the answer's text. */
export type TokenEvent = Told<"token", { text: string }>;
export type CitationEvent = Told<"citation", Citation>;
export type UsageEvent = Told<"usage", Usage>;
/** The one mark of a whole answer. */
export type DoneEvent = Told<"done", { finish_reason: string | null }>;
/** One whose name, or whose data, this version does not know: skip it. `data` is its text. */
export type OtherEvent = Told<"other", string> & { readonly name: string };

export type AnswerEvent =
  | MetaEvent
  | SourcesEvent
  | TokenEvent
  | CitationEvent
  | UsageEvent
  | DoneEvent
  | OtherEvent;

type Kind = "string" | "number" | "integer" | "boolean" | "strings";
/** Kinds of fields by name; one with `?` may be missing or null. */
type Shape = Record<string, Kind | `${Kind}?`>;

const PASSAGE: Shape = {
  document_id: "string",
  filename: "string",
  chunk_id: "string",
  score: "number",
  text: "string",
  page: "integer?",
  section: "strings?",
  truncated: "boolean?",
};
const CITATION: Shape = { source: "integer", start: "integer", end: "integer" };
const USAGE: Shape = { prompt_tokens: "integer", completion_tokens: "integer" };

const READS: Record<string, (value: unknown) => boolean> = {
  meta: (value) => fits(value, { query_id: "string", model: "string" }),
  sources: (value) => allFit(value, PASSAGE),
  token: (value) => fits(value, { text: "string" }),
  citation: (value) => fits(value, CITATION),
  usage: (value) => fits(value, USAGE),
  done: (value) => fits(value, { finish_reason: "string?" }),
};

function allFit(value: unknown, shape: Shape): boolean {
  return Array.isArray(value) && value.every((one) => fits(one, shape));
}

function fits(value: unknown, shape: Shape): boolean {
  if (!isObject(value)) return false;
  return Object.entries(shape).every(([name, kind]) => isOf(kind, value[name] ?? null));
}

function isOf(kind: string, value: unknown): boolean {
  if (kind.endsWith("?")) return value === null || isOf(kind.slice(0, -1), value);
  if (kind === "integer") return Number.isInteger(value);
  if (kind === "strings") return Array.isArray(value) && value.every((one) => isOf("string", one));
  return typeof value === kind;
}

/** An event with its type. What ends an answer is `done`, whatever it says of the reason. */
export function eventOf(sent: SseEvent): AnswerEvent {
  const { name, data: raw } = sent;
  const data = parsed(raw);
  if (Object.hasOwn(READS, name) && READS[name]?.(data)) {
    return { event: name, data, raw } as AnswerEvent;
  }
  if (name === "done") return { event: "done", data: { finish_reason: null }, raw };
  return { event: "other", name, data: raw, raw };
}

/** What an `error` event says. */
export function errorOf(text: string): KnowledgeBaseError {
  const error = saidError(parsed(text), {});
  return error ?? new ProtocolError("The answer ended with an error that says nothing.");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What was told of one answer so far. */
export class Collected {
  private readonly text: string[] = [];
  private readonly rest: Omit<Answer, "answer"> = {
    citations: [],
    sources: [],
    usage: null,
    finish_reason: null,
    query_id: null,
    model: null,
  };

  take(told: AnswerEvent): void {
    const { rest } = this;
    if (told.event === "token") this.text.push(told.data.text);
    else if (told.event === "citation") rest.citations.push(told.data);
    else if (told.event === "sources") rest.sources.push(...told.data);
    else if (told.event === "usage") rest.usage = told.data;
    else if (told.event === "done") rest.finish_reason = told.data.finish_reason ?? null;
    else if (told.event === "meta") {
      rest.query_id = told.data.query_id;
      rest.model = told.data.model;
    }
  }

  answer(): Answer {
    const [citations, sources] = [[...this.rest.citations], [...this.rest.sources]];
    return { answer: this.text.join(""), ...this.rest, citations, sources };
  }
}

/** The document of `"stream": false`. Throws `ProtocolError` where it is none. */
export function wholeAnswer(value: unknown): Answer {
  const isAnswer =
    fits(value, { answer: "string", finish_reason: "string?", query_id: "string?", model: "string?" }) &&
    isObject(value) &&
    allFit(value["sources"], PASSAGE) &&
    allFit(value["citations"], CITATION) &&
    (value["usage"] === null || fits(value["usage"], USAGE));
  if (!isAnswer) throw new ProtocolError("What came is no answer.");
  const unsaid = { query_id: null, model: null };
  return { ...unsaid, ...(value as unknown as Omit<Answer, keyof typeof unsaid>) };
}

/**
 * The part of an answer's text that a citation is about. Citations count characters (Unicode code
 * points), and JavaScript's strings do not where there are emoji.
 */
export function cited(text: string, citation: Citation): string {
  return [...text].slice(citation.start, citation.end).join("");
}
