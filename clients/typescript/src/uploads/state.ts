/** What is told of an upload, and what is needed to go on with one. */

/**
 * How far an upload in parts is: JSON that can be kept, also for another process, or for the
 * client in another language. It holds no secret, and is good as long as the upload may take
 * (six hours, if the server has no other setting).
 */
export interface UploadState {
  readonly document_id: string;
  readonly size: number;
  readonly sha256: string;
  readonly part_size: number;
  /** What the store answered to each part that it has, by number from 1. */
  readonly etags: Readonly<Record<string, string>>;
}

/** How far a file is on its way, in bytes: it is read for its checksum, and then sent. */
export interface Progress {
  readonly read: number;
  /** What has gone out; a failed try is taken back. */
  readonly sent: number;
  readonly total: number;
}

export interface UploadOptions {
  /** The file's own name, if it is not given. */
  filename?: string;
  /** What the file's ending says, if it is not given. */
  contentType?: string;
  onProgress?: (progress: Progress) => void;
  /** Called with the file's SHA-256 before anything is sent; what it throws ends the upload. */
  onDigest?: (sha256: string) => unknown;
  /** Called with the new document's id before its bytes are sent. */
  onAnnounced?: (documentId: string) => void;
  /** Called when a part is in the store; keep what it is given to go on later. */
  onState?: (state: UploadState) => void;
  /**
   * Where an upload of the same file stopped. If it is too late for that, or the file is another
   * one, it begins anew.
   */
  resume?: UploadState;
  /** How many parts are sent at the same time: 4, if it is not given. */
  atOnce?: number;
  /** Your own, so that the announcement is known again if you repeat it. */
  idempotencyKey?: string;
  /** Stops it; the last state that you were given goes on later. */
  signal?: AbortSignal;
}
