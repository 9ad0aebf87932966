import { type Attributes, SpanKind } from '@opentelemetry/api';
import { log, metricMeter } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { STEP_FAILURE, type StepCall, type StepFailureDetails } from '../contracts/activities.js';
import type { ClosedState } from '../contracts/chains.js';
import type { HoldRequest, SettledDecision } from '../contracts/holds.js';
import { ModelCallError, type ModelPort, type ModelRequest, type ModelResponse } from '../contracts/models.js';
import type { ReasonCode } from '../contracts/reasons.js';
import type { AttemptBill } from '../store/attempts.js';
import type { ChainHead } from '../store/chains.js';
import { cacheWriteTokens, countAttempt, measureCall, totalInputTokens, WORKER_METRICS } from '../telemetry/metrics.js';
import { chainContext, endChainSpan, inSpan } from '../telemetry/trace.js';

// Logs, spans and metrics of what runs in activities. No messages of failures: they may quote prompts or answers.

/** Runs a step call of a chain: logged from beginning to end, and in a span below that of the chain. */
export function observeStep<Result>(call: StepCall, chain: ChainHead, run: () => Promise<Result>): Promise<Result> {
  const fields = { tenant: chain.tenant, step: call.step, call: call.call, round: call.round };
  const attributes: Attributes = {
    'holdfast.chain.id': chain.id,
    'holdfast.chain.type': chain.type,
    'holdfast.tenant': chain.tenant,
    'holdfast.step': call.step,
    'holdfast.call': call.call,
    'holdfast.round': call.round,
  };
  return inSpan(
    `step ${call.step}`,
    { kind: SpanKind.INTERNAL, attributes },
    async (span) => {
      const startedAt = Date.now();
      log.info('step started', fields);
      try {
        const result = await run();
        log.info('step finished', { ...fields, durationMs: Date.now() - startedAt });
        return result;
      } catch (error) {
        const reason = reasonOf(error);
        const again = error instanceof ApplicationFailure && !error.nonRetryable;
        span.setAttribute('error.type', reason);
        log.warn(again ? 'step failed, it is tried again' : 'step failed', {
          ...fields,
          reason,
          durationMs: Date.now() - startedAt,
        });
        throw error;
      }
    },
    chainContext(chain),
  );
}

/** Makes one model call in a span by the conventions for generative AI, and measures it. */
export function observeCall(
  model: ModelPort,
  request: ModelRequest,
  make: () => Promise<ModelResponse>,
): Promise<ModelResponse> {
  const provider = model.provider ?? 'unknown';
  const attributes: Attributes = {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': provider,
    'gen_ai.request.model': request.model,
    'gen_ai.request.max_tokens': request.maxTokens,
  };
  return inSpan(`chat ${request.model}`, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    const startedAt = Date.now();
    const measured = (usage: ModelResponse['usage'] | undefined, errorType?: string): void => {
      const durationMs = Date.now() - startedAt;
      measureCall(metricMeter, { provider, model: request.model, durationMs, usage, ...(errorType && { errorType }) });
      if (errorType !== undefined) span.setAttribute('error.type', errorType);
      if (usage === undefined) return;
      span.setAttributes({
        'gen_ai.usage.input_tokens': totalInputTokens(usage),
        'gen_ai.usage.output_tokens': usage.outputTokens,
        'gen_ai.usage.cache_read.input_tokens': usage.cacheReadTokens,
        'gen_ai.usage.cache_write.input_tokens': cacheWriteTokens(usage),
      });
    };
    try {
      const response = await make();
      span.setAttribute('gen_ai.response.finish_reasons', [response.stopReason]);
      measured(response.usage);
      return response;
    } catch (error) {
      measured(error instanceof ModelCallError ? error.details.usage : undefined, reasonOf(error));
      throw error;
    }
  });
}

/** Logs and counts how an attempt ended, once its row says so. */
export function noteAttempt(
  attemptId: number,
  { call, chain, request }: { readonly call: StepCall; readonly chain: ChainHead; readonly request: ModelRequest },
  end: AttemptBill & { readonly state: 'succeeded' | 'failed' | 'cancelled'; readonly reason: ReasonCode | null },
): void {
  const { state, reason, usage, costMicroUsd } = end;
  countAttempt(metricMeter, { model: request.model, step: call.step, state, reason, costMicroUsd });
  log[state === 'failed' ? 'warn' : 'info'](`model call ${state}`, {
    attemptId,
    tenant: chain.tenant,
    step: call.step,
    call: call.call,
    round: call.round,
    model: request.model,
    ...(reason === null ? {} : { reason }),
    ...(usage && { inputTokens: totalInputTokens(usage), outputTokens: usage.outputTokens }),
    ...(usage && { cacheReadTokens: usage.cacheReadTokens, cacheWriteTokens: cacheWriteTokens(usage) }),
    costMicroUsd,
    requestId: end.requestId,
  });
}

/** Measures how long a call waited for its quota group. */
export function noteQuotaWait(quotaGroup: string, waitedMs: number): void {
  metricMeter
    .createHistogram(WORKER_METRICS.quotaWait, 'float', 's', 'Waits for quota.')
    .record(waitedMs / 1_000, { quota_group: quotaGroup });
}

function reasonOf(error: unknown): string {
  if (error instanceof ModelCallError) return error.reason;
  if (!(error instanceof ApplicationFailure)) return error instanceof Error ? error.name : 'unknown';
  if (error.type !== STEP_FAILURE) return error.type ?? 'unknown';
  return (error.details?.[0] as StepFailureDetails | undefined)?.reason ?? 'unknown';
}

/** Logs and counts a hold that is open now. */
export function noteHold({ holdId, kind, reason, step, call }: HoldRequest): void {
  metricMeter.createCounter(WORKER_METRICS.holdsOpened, '', 'Holds opened.').add(1, { kind, reason, step });
  log.warn('hold opened', { holdId, kind, reason, step, call });
}

/** Logs the decision that a chain takes. Not its note and edit: people write there what they like. */
export function noteDecision(holdId: string, { verdict, by, at }: SettledDecision): void {
  log.info('hold decided', { holdId, verdict, by, decidedAt: at });
}

/** Logs and counts a chain that has ended, and exports its span. */
export function noteEnd(chain: ChainHead, state: ClosedState): void {
  metricMeter.createCounter(WORKER_METRICS.chainsClosed, '', 'Chains closed.').add(1, { chain: chain.type, state });
  log.info('chain closed', {
    tenant: chain.tenant,
    state,
    durationMs: Date.now() - chain.created_at.getTime(),
  });
  endChainSpan(chain, state);
}
