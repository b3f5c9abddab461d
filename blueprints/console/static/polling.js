// @ts-check
/** Asking again while somebody looks: never in a hidden tab, never twice at once, less after failures. */

const SOONEST_MS = 2_000;
const LONGEST_MS = 60_000;

/**
 * Calls `ask` at once and then every `everyMs`, until the returned function is called. While the
 * tab is hidden nothing is asked, and what is under way is given up; when it is seen again it asks
 * at once. After a failure it waits twice as long each time, a minute at most.
 * @param {(signal: AbortSignal) => Promise<boolean>} ask gives whether it went well
 * @param {number} everyMs
 * @returns {() => void}
 */
export function whileSeen(ask, everyMs) {
  const poller = new Poller(ask, everyMs);
  const seen = () => poller.seen(document.visibilityState === "visible");
  document.addEventListener("visibilitychange", seen);
  seen();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    poller.seen(false);
  };
}

class Poller {
  #failures = 0;
  #asked_at = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {AbortController | null} */
  #under_way = null;

  /**
   * @param {(signal: AbortSignal) => Promise<boolean>} ask
   * @param {number} everyMs
   */
  constructor(ask, everyMs) {
    this.ask = ask;
    this.everyMs = everyMs;
  }

  /** @param {boolean} visible */
  seen(visible) {
    clearTimeout(this.#timer);
    this.#under_way?.abort();
    this.#under_way = null;
    if (!visible) return;
    // Who switches to and fro does not ask each time.
    const since = performance.now() - this.#asked_at;
    this.#in(Math.max(SOONEST_MS - since, 0));
  }

  /** @param {number} delayMs */
  #in(delayMs) {
    this.#timer = setTimeout(() => void this.#once(), delayMs);
  }

  async #once() {
    const mine = (this.#under_way = new AbortController());
    this.#asked_at = performance.now();
    const well = await this.ask(mine.signal).catch(() => false);
    if (mine.signal.aborted) return;
    this.#under_way = null;
    this.#failures = well ? 0 : this.#failures + 1;
    this.#in(Math.min(this.everyMs * 2 ** this.#failures, Math.max(LONGEST_MS, this.everyMs)));
  }
}
