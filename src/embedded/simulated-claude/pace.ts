import { setTimeout as delay } from 'node:timers/promises';

/** Chunks come no faster than this; below it, timers cost more than they show. */
const CHUNK_MS = 40;
const CHUNK_TOKENS_WITHOUT_LATENCY = 16;

/** Waits until `performance.now()` is `dueMs`. Rejects with an AbortError when `signal` aborts. */
export async function waitUntil(dueMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const remainingMs = dueMs - performance.now();
  if (remainingMs > 0.5) await delay(remainingMs, undefined, { signal });
}

/**
 * Gives `tokens` in chunks at the speed of a model. Times are reckoned from the start, so that late timers do not add
 * up to a slower model.
 */
export async function* paced(
  tokens: readonly string[],
  msPerToken: number,
  signal: AbortSignal,
): AsyncGenerator<readonly string[]> {
  const startMs = performance.now();
  const size = msPerToken > 0 ? Math.max(1, Math.ceil(CHUNK_MS / msPerToken)) : CHUNK_TOKENS_WITHOUT_LATENCY;
  for (let at = 0; at < tokens.length; at += size) {
    const chunk = tokens.slice(at, at + size);
    await waitUntil(startMs + (at + chunk.length) * msPerToken, signal);
    yield chunk;
  }
}

/** Never resolves; rejects when `signal` aborts. */
export function forever(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
