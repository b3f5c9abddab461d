/** Adds up what was read and what went out, and tells it. */

import type { Progress } from "./state.js";

export class Tally {
  private progress: Progress;

  constructor(
    total: number,
    private readonly onProgress: ((progress: Progress) => void) | undefined,
  ) {
    this.progress = { read: 0, sent: 0, total };
  }

  read(bytes: number): void {
    this.tell({ ...this.progress, read: bytes });
  }

  /** What the store had before. */
  had(bytes: number): void {
    if (bytes > 0) this.tell({ ...this.progress, sent: this.progress.sent + bytes });
  }

  /** Of one request: how many of its bytes have gone out, which may be fewer than before. */
  sending(): { has: (bytes: number) => void } {
    let before = 0;
    return {
      has: (bytes) => {
        if (bytes === before) return;
        const sent = this.progress.sent + bytes - before;
        before = bytes;
        this.tell({ ...this.progress, sent });
      },
    };
  }

  private tell(progress: Progress): void {
    this.progress = progress;
    this.onProgress?.(progress);
  }
}
