// @ts-check
// What the API says of a document, for the type checker alone.

/**
 * @typedef {object} Doc a document as on the wire
 * @property {string} document_id
 * @property {string} filename
 * @property {string} content_type
 * @property {number} size in bytes
 * @property {"awaiting_upload"|"processing"|"indexed"|"failed"|"expired"} status
 * @property {number|null} [progress] 0 to 1
 * @property {string|null} [stage]
 * @property {number|null} [ahead]
 * @property {string[]} [warnings]
 * @property {string|null} [error]
 * @property {string|null} [sha256]
 * @property {string} created_at
 * @property {string|null} [updated_at]
 */

export {};
