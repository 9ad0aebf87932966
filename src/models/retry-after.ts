/** A longer wait than this, in milliseconds, is taken for a mistake of the server or of a proxy before it. */
export const MAX_RETRY_AFTER_MS = 3_600_000;

/**
 * How long the provider asks to wait, in milliseconds, capped at {@link MAX_RETRY_AFTER_MS}; undefined when it does not
 * say, or says it in no known form. Reads `retry-after-ms`, then `retry-after` in seconds or as an HTTP date (RFC 9110).
 */
export function parseRetryAfterMs(
  headers: { get(name: string): string | null } | undefined,
  now: number = Date.now(),
): number | undefined {
  const milliseconds = numberOf(headers?.get('retry-after-ms'));
  if (milliseconds !== undefined) return capped(milliseconds);
  const text = headers?.get('retry-after')?.trim();
  const seconds = numberOf(text);
  if (seconds !== undefined) return capped(seconds * 1_000);
  // Only dates that begin with a weekday: Date.parse also makes a date of "-5" and of other refuse.
  const date = text !== undefined && /^[A-Za-z]{3}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : capped(date - now);
}

function numberOf(text: string | null | undefined): number | undefined {
  return text != null && /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined;
}

function capped(waitMs: number): number {
  return Math.ceil(Math.min(Math.max(0, waitMs), MAX_RETRY_AFTER_MS));
}
