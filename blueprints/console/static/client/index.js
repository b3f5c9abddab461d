export { AnswerStream } from "./answers.js";
export { KnowledgeBase, } from "./client.js";
export { isSettled } from "./documents.js";
export * from "./errors.js";
export { cited, } from "./events.js";
