import type { LimitReading, QuotaReading } from '../contracts/quotas.js';

/** What an answer's `anthropic-ratelimit-*` headers say; undefined when there are none. */
export function readQuotaHeaders(headers: { get(name: string): string | null }): QuotaReading | undefined {
  const read = (name: string): LimitReading | undefined => {
    const [limit, remaining] = ['limit', 'remaining'].map((what) => headers.get(`anthropic-ratelimit-${name}-${what}`));
    if (limit == null || remaining == null || !/^\d+$/.test(limit) || !/^\d+$/.test(remaining)) return undefined;
    return { limit: Number(limit), remaining: Number(remaining) };
  };
  const [requests, inputTokens, outputTokens] = [read('requests'), read('input-tokens'), read('output-tokens')];
  if (requests === undefined && inputTokens === undefined && outputTokens === undefined) return undefined;
  return {
    ...(requests && { requests }),
    ...(inputTokens && { inputTokens }),
    ...(outputTokens && { outputTokens }),
  };
}
