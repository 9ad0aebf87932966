import type { MetricMeter } from '@temporalio/common';
import type { TokenUsage } from '../contracts/models.js';
import type { ReasonCode } from '../contracts/reasons.js';

/**
 * What a worker counts, beside what Temporal's SDK does. Prometheus knows no dots: where OpenTelemetry's conventions for
 * generative AI have a metric or a label, its name stands here with underscores, and a counter ends in `_total`.
 */
export const WORKER_METRICS = {
  operationDuration: 'gen_ai_client_operation_duration_seconds',
  tokenUsage: 'gen_ai_client_token_usage',
  inputTokens: 'gen_ai_client_inference_usage_input_tokens_total',
  outputTokens: 'gen_ai_client_inference_usage_output_tokens_total',
  cacheReadTokens: 'gen_ai_client_inference_usage_cache_read_input_tokens_total',
  cacheWriteTokens: 'gen_ai_client_inference_usage_cache_write_input_tokens_total',
  attempts: 'holdfast_attempts_total',
  cost: 'holdfast_cost_micro_usd_total',
  unpriced: 'holdfast_unpriced_attempts_total',
  quotaWait: 'holdfast_quota_wait_seconds',
  holdsOpened: 'holdfast_holds_opened_total',
  chainsClosed: 'holdfast_chains_closed_total',
} as const;

/** Upper bounds of histograms. The first two are those of the conventions. */
export const HISTOGRAM_BUCKETS: Record<string, number[]> = {
  [WORKER_METRICS.operationDuration]: Array.from({ length: 16 }, (_, power) => 0.01 * 2 ** power),
  [WORKER_METRICS.tokenUsage]: Array.from({ length: 14 }, (_, power) => 4 ** power),
  [WORKER_METRICS.quotaWait]: [0.01, 0.1, 1, 5, 15, 30, 60],
};

/** All tokens of the input: `inputTokens` of {@link TokenUsage} are without the cached ones, the conventions' with them. */
export function totalInputTokens(usage: TokenUsage): number {
  return usage.inputTokens + usage.cacheReadTokens + cacheWriteTokens(usage);
}

export function cacheWriteTokens({ cacheWrite5mTokens, cacheWrite1hTokens }: TokenUsage): number {
  return cacheWrite5mTokens + cacheWrite1hTokens;
}

/** One model call as the provider saw it. */
export interface MeasuredCall {
  readonly provider: string;
  readonly model: string;
  readonly durationMs: number;
  readonly usage: TokenUsage | undefined;
  /** The reason code of a call that failed. */
  readonly errorType?: string;
}

/** Counts one model call by the conventions for generative AI. */
export function measureCall(meter: MetricMeter, call: MeasuredCall): void {
  const { provider, model, durationMs, usage, errorType } = call;
  const tags = { gen_ai_operation_name: 'chat', gen_ai_provider_name: provider, gen_ai_request_model: model };
  meter
    .createHistogram(WORKER_METRICS.operationDuration, 'float', 's', 'Duration of model calls.')
    .record(durationMs / 1_000, { ...tags, error_type: errorType ?? '' });
  if (usage === undefined) return;
  const input = totalInputTokens(usage);
  const perCall = meter.createHistogram(WORKER_METRICS.tokenUsage, 'int', '', 'Tokens per model call.');
  perCall.record(input, { ...tags, gen_ai_token_type: 'input' });
  perCall.record(usage.outputTokens, { ...tags, gen_ai_token_type: 'output' });
  const count = (name: string, tokens: number, what: string): void =>
    meter.createCounter(name, '', what).add(tokens, tags);
  count(WORKER_METRICS.inputTokens, input, 'Input tokens, cached ones included.');
  count(WORKER_METRICS.outputTokens, usage.outputTokens, 'Output tokens.');
  count(WORKER_METRICS.cacheReadTokens, usage.cacheReadTokens, 'Input tokens read from the prompt cache.');
  count(WORKER_METRICS.cacheWriteTokens, cacheWriteTokens(usage), 'Input tokens written to the prompt cache.');
}

/** Counts an attempt as its row ends. `costMicroUsd` is null for a model without a known price. */
export function countAttempt(
  meter: MetricMeter,
  attempt: { model: string; step: string; state: string; reason: ReasonCode | null; costMicroUsd: number | null },
): void {
  const { model, step, state, reason, costMicroUsd } = attempt;
  const tags = { gen_ai_request_model: model, step };
  meter
    .createCounter(WORKER_METRICS.attempts, '', 'Ended attempts, by how they ended.')
    .add(1, { ...tags, state, reason: reason ?? '' });
  if (costMicroUsd === null) {
    meter.createCounter(WORKER_METRICS.unpriced, '', 'Attempts on models without a known price.').add(1, tags);
  } else {
    meter.createCounter(WORKER_METRICS.cost, '', 'Cost in micro-dollars.').add(costMicroUsd, tags);
  }
}
