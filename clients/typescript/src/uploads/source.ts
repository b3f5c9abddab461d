/** A file, wherever it is, as an upload needs it. */

/** One request to the object store: bytes `start` to `end` of the file, between head and tail. */
export interface StoreRequest {
  readonly method: "POST" | "PUT";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly start: number;
  readonly end: number;
  readonly head?: Uint8Array<ArrayBuffer>;
  readonly tail?: Uint8Array<ArrayBuffer>;
}

export interface StoreReply {
  readonly status: number;
  readonly etag: string | null;
  readonly text: string;
}

export interface Source {
  readonly name: string;
  readonly size: number;

  /**
   * The SHA-256 of its bytes, as 64 digits, without holding anybody up.
   *
   * @param onRead called with how many bytes have been read so far
   */
  digest(onRead: (bytes: number) => void, signal?: AbortSignal): Promise<string>;

  /**
   * Sends, and gives whatever the store answers. Throws `ConnectionBroken`, `NotConnected`,
   * `FileChanged`, and the signal's reason.
   *
   * @param onSent called with how many of the file's bytes have gone out so far
   */
  send(
    request: StoreRequest,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<StoreReply>;
}

export function sizeOf({ start, end, head, tail }: StoreRequest): number {
  return (head?.length ?? 0) + (end - start) + (tail?.length ?? 0);
}
