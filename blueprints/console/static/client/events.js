import { isObject, ProtocolError, saidError } from "./errors.js";
const PASSAGE = {
    document_id: "string",
    filename: "string",
    chunk_id: "string",
    score: "number",
    text: "string",
    page: "integer?",
    section: "strings?",
    truncated: "boolean?",
};
const CITATION = { source: "integer", start: "integer", end: "integer" };
const USAGE = { prompt_tokens: "integer", completion_tokens: "integer" };
const READS = {
    meta: (value) => fits(value, { query_id: "string", model: "string" }),
    sources: (value) => allFit(value, PASSAGE),
    token: (value) => fits(value, { text: "string" }),
    citation: (value) => fits(value, CITATION),
    usage: (value) => fits(value, USAGE),
    done: (value) => fits(value, { finish_reason: "string?" }),
};
function allFit(value, shape) {
    return Array.isArray(value) && value.every((one) => fits(one, shape));
}
function fits(value, shape) {
    if (!isObject(value))
        return false;
    return Object.entries(shape).every(([name, kind]) => isOf(kind, value[name] ?? null));
}
function isOf(kind, value) {
    if (kind.endsWith("?"))
        return value === null || isOf(kind.slice(0, -1), value);
    if (kind === "integer")
        return Number.isInteger(value);
    if (kind === "strings")
        return Array.isArray(value) && value.every((one) => isOf("string", one));
    return typeof value === kind;
}
export function eventOf(sent) {
    const { name, data: raw } = sent;
    const data = parsed(raw);
    if (Object.hasOwn(READS, name) && READS[name]?.(data)) {
        return { event: name, data, raw };
    }
    if (name === "done")
        return { event: "done", data: { finish_reason: null }, raw };
    return { event: "other", name, data: raw, raw };
}
export function errorOf(text) {
    const error = saidError(parsed(text), {});
    return error ?? new ProtocolError("The answer ended with an error that says nothing.");
}
function parsed(text) {
    try {
        return JSON.parse(text);
    }
    catch {
        return undefined;
    }
}
export class Collected {
    text = [];
    rest = {
        citations: [],
        sources: [],
        usage: null,
        finish_reason: null,
        query_id: null,
        model: null,
    };
    take(told) {
        const { rest } = this;
        if (told.event === "token")
            this.text.push(told.data.text);
        else if (told.event === "citation")
            rest.citations.push(told.data);
        else if (told.event === "sources")
            rest.sources.push(...told.data);
        else if (told.event === "usage")
            rest.usage = told.data;
        else if (told.event === "done")
            rest.finish_reason = told.data.finish_reason ?? null;
        else if (told.event === "meta") {
            rest.query_id = told.data.query_id;
            rest.model = told.data.model;
        }
    }
    answer() {
        const [citations, sources] = [[...this.rest.citations], [...this.rest.sources]];
        return { answer: this.text.join(""), ...this.rest, citations, sources };
    }
}
export function wholeAnswer(value) {
    const isAnswer = fits(value, { answer: "string", finish_reason: "string?", query_id: "string?", model: "string?" }) &&
        isObject(value) &&
        allFit(value["sources"], PASSAGE) &&
        allFit(value["citations"], CITATION) &&
        (value["usage"] === null || fits(value["usage"], USAGE));
    if (!isAnswer)
        throw new ProtocolError("What came is no answer.");
    const unsaid = { query_id: null, model: null };
    return { ...unsaid, ...value };
}
export function cited(text, citation) {
    return [...text].slice(citation.start, citation.end).join("");
}
