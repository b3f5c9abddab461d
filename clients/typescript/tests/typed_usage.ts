// Never run: a compiler reads it as it would a user's program. What must be refused is marked so.

import {
  ApiError,
  type Document,
  KnowledgeBase,
  UploadInterrupted,
  type UploadState,
} from "knowledge-base-client";

const kb = new KnowledgeBase("https://kb.example.com", { apiKey: "kbg_…", timeouts: { idle: 30 } });

export async function ask(): Promise<string> {
  let text = "";
  for await (const told of kb.ask("tea?", { topK: 3, documentIds: [], conversationId: "c" })) {
    if (told.event === "token") text += told.data.text;
    if (told.event === "sources") text += told.data[0]?.section?.join();
    if (told.event === "citation") text = text.slice(told.data.start, told.data.end);
    if (told.event === "other") text += told.name + told.data;
    // @ts-expect-error  There is no such event.
    if (told.event === "tokens") text += "";
    // @ts-expect-error  A token has no passages.
    if (told.event === "token") text += told.data.passages;
  }
  const whole = await kb.ask("tea?", { stream: false });
  // @ts-expect-error  A stream is iterated over.
  text += kb.ask("tea?").answer;
  return whole.answer + (whole.finish_reason ?? "") + text;
}

export async function upload(file: File, kept: UploadState | undefined): Promise<Document> {
  try {
    const options = kept === undefined ? {} : { resume: kept };
    const { document_id } = await kb.documents.upload(file, options);
    for await (const one of kb.documents.watch(document_id)) console.log(one.progress?.toFixed(2));
    return kb.documents.wait(document_id, { timeout: 60 });
  } catch (error) {
    if (error instanceof UploadInterrupted) console.log(error.state.etags["1"]);
    if (error instanceof ApiError && error.code === "QUOTA_EXCEEDED") console.log(error.retryAfter);
    throw error;
  }
}

export async function keys(): Promise<string | undefined> {
  const key = await kb.keys.create({ name: "n", scopes: ["query:run"], expiresIn: 60 });
  // @ts-expect-error  A key is for something.
  await kb.keys.create({ name: "n" });
  return key.secret;
}

// @ts-expect-error  A clock has a number.
new KnowledgeBase("/", { timeouts: { idle: "30" } });
