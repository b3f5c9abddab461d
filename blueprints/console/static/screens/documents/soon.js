// @ts-check

/**
 * Calls `update` once before the next picture, however often it is asked for.
 * @param {() => void} update
 * @returns {(() => void) & {now: () => void}}
 */
export function soon(update) {
  let asked = 0;
  const now = () => {
    cancelAnimationFrame(asked);
    asked = 0;
    update();
  };
  const later = () => {
    asked ||= requestAnimationFrame(now);
  };
  return Object.assign(later, { now });
}
