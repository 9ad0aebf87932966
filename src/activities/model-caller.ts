import { CancelledFailure } from '@temporalio/common';
import { QuotaTooSmallError, QuotaWaitError, type Reservation, type SharedQuota } from '../admission/shared-quota.js';
import type { StepCall } from '../contracts/activities.js';
import type { Lane, LanePolicy } from '../contracts/lanes.js';
import {
  ModelCallError,
  type ModelPort,
  type ModelRequest,
  type ModelResponse,
  type TokenUsage,
} from '../contracts/models.js';
import { accountGroup } from '../contracts/queues.js';
import type { QuotaUse } from '../contracts/quotas.js';
import { REASONS, type ReasonCode } from '../contracts/reasons.js';
import { type AttemptRow, endAttempt, openAttempt, succeedAttempt } from '../store/attempts.js';
import type { ChainHead } from '../store/chains.js';
import { type CircuitKey, endProbe, noteFailedCall, noteSuccessfulCall, passCircuit } from '../store/circuits.js';
import { isStoreTrouble, type Store } from '../store/database.js';
import { noteAttempt, noteQuotaWait, observeCall } from './observe.js';
import type { PreparedCall } from './prepare-call.js';
import { laneOf, type StepRouting } from './route-step.js';
import { stepFailure, tryAgain } from './step-failure.js';

export interface ModelCallerDependencies {
  readonly store: Store;
  readonly model: ModelPort;
  /** This process's number, under which others see that it lives. */
  readonly worker: number;
  readonly routing: StepRouting;
  readonly lanes: Readonly<Record<Lane, LanePolicy>>;
  readonly quota: SharedQuota;
  /** Input tokens of a request, cached ones included. */
  readonly estimate: (request: ModelRequest, step: string) => number;
  /** What a request will take from its quota. */
  readonly forecast: (request: ModelRequest, step: string) => QuotaUse;
  /** Told what a call truly used, and how long its step's input was. */
  readonly learn: (request: ModelRequest, step: string, usage: TokenUsage, inputLength: number | undefined) => void;
  /** What of a call's usage counts against its quota. */
  readonly countedUse: (request: ModelRequest, usage: TokenUsage) => QuotaUse;
  /** Refuses, with a message, what cannot fit the model's context. */
  readonly checkContext: (request: ModelRequest, estimate: number, signal: AbortSignal) => Promise<string | undefined>;
  readonly costMicroUsd: (model: string, usage: TokenUsage) => number | null;
  readonly retryDelayMs: (policy: LanePolicy, failures: number, retryAfterMs?: number) => number;
}

export interface CallToMake {
  readonly call: StepCall;
  readonly chain: ChainHead;
  readonly runId: string;
  readonly prepared: PreparedCall;
  readonly request: ModelRequest;
  readonly kind: 'call' | 'repair';
  /** Earlier attempts of the same round. */
  readonly attempts: readonly AttemptRow[];
  readonly watch: StepWatch;
}

/** How a step call is followed from outside. */
export interface StepWatch {
  readonly signal: AbortSignal;
  /** Told when a model call is open, and when its end has been written. */
  readonly onPaying: (paying: boolean) => void;
  /** Told when it no longer waits for its turn: it has been admitted, or waits for something other than the quota. */
  readonly onPassed: () => void;
}

/** The call is open elsewhere, or has succeeded meanwhile: to be looked at again. */
export class CallTakenError extends Error {
  override readonly name = 'CallTakenError';
}

/** An answer that has been paid for and must now be recorded, one way or the other. */
export interface PaidCall {
  readonly response: ModelResponse;
  accept(success: { tenant: string; turns: readonly Buffer[]; result: string }): Promise<void>;
  reject(problem: { reason: ReasonCode; message: string; answer: string; spent: boolean }): Promise<void>;
}

export interface ModelCaller {
  call(options: CallToMake): Promise<PaidCall>;
  /** Runs a query; a store that cannot be reached makes Temporal give the call out again, at the cost of no attempt. */
  reachingStore<Result>(query: () => Promise<Result>): Promise<Result>;
}

const STORE_RETRY_MS = 1_000;

/** How long a paid answer is kept in memory while the store is away, in milliseconds, before it is given up. */
export const KEEP_ANSWER_MS = 600_000;

const RATE_LIMIT_WAIT_MS = 1_000;

/** Makes single model calls: quota, attempt row, call, bill. Never retries; it says who should, and when. */
export function createModelCaller(dependencies: ModelCallerDependencies): ModelCaller {
  const { store, model, routing, quota } = dependencies;

  async function reachingStore<Result>(query: () => Promise<Result>): Promise<Result> {
    try {
      return await query();
    } catch (error) {
      if (!isStoreTrouble(error)) throw error;
      throw tryAgain('store_unreachable', String(store.explain(error)), STORE_RETRY_MS);
    }
  }

  /** Writes what must not be lost: an answer that has been paid for waits here until the store is back. */
  async function keepWriting(write: () => Promise<void>): Promise<void> {
    const giveUpAt = Date.now() + KEEP_ANSWER_MS;
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!isStoreTrouble(error)) throw error;
        if (Date.now() > giveUpAt) throw tryAgain('store_unreachable', String(store.explain(error)), STORE_RETRY_MS);
        await new Promise((resolve) => setTimeout(resolve, STORE_RETRY_MS / 4));
      }
    }
  }

  async function reserve(group: string, options: CallToMake): Promise<Reservation> {
    const { call, chain, request, watch } = options;
    const { signal } = watch;
    const startedAt = Date.now();
    try {
      const reservation = await reachingStore(() =>
        quota.reserve({
          ...dependencies.forecast(request, call.step),
          group,
          chain: chain.id,
          step: call.step,
          call: call.call,
          priority: call.priority ?? chain.priority,
          ownPriority: call.priority !== undefined,
          begun: call.begun ?? false,
          maxWaitMs: routing.quotaWaitMs,
          signal,
        }),
      );
      watch.onPassed();
      return reservation;
    } catch (error) {
      if (error instanceof QuotaWaitError) throw tryAgain('quota_wait', error.message, error.retryAfterMs);
      if (error instanceof QuotaTooSmallError) throw stepFailure('quota_too_small', error.message);
      throw cancelled(signal, error);
    } finally {
      noteQuotaWait(group, Date.now() - startedAt);
    }
  }

  /** Writes how an attempt ended, and then says so. */
  async function end(attempt: number, options: CallToMake, how: Parameters<typeof endAttempt>[2]): Promise<void> {
    await keepWriting(() => endAttempt(store, attempt, how));
    if (how.state !== 'interrupted') noteAttempt(attempt, options, { ...how, state: how.state });
    const { reason, message } = how;
    const isPermanent = reason !== null && REASONS[reason].permanence === 'permanent';
    await keepWriting(async () => {
      if (how.state === 'failed' && isPermanent) {
        await noteFailedCall(store, circuitOf(options), { reason, message: message ?? '' });
      }
      await endProbe(store, circuitOf(options), probeOf(options));
    });
  }

  /** Holds a call at once whose step fails for everybody, unless a person has sent it: who did so may have mended the cause. */
  async function checkCircuit(options: CallToMake): Promise<void> {
    if (options.call.round > 0 || options.kind === 'repair') return;
    const open = await reachingStore(() => passCircuit(store, circuitOf(options), probeOf(options)));
    if (open !== undefined) throw stepFailure(open.reason, open.message);
  }

  function open(quotaGroup: string, options: CallToMake): Promise<number | undefined> {
    const { call, chain, runId, prepared, kind } = options;
    return openAttempt(store, {
      chain_id: chain.id,
      tenant: chain.tenant,
      first_run_id: call.firstRunId,
      run_id: runId,
      step: call.step,
      input_hash: call.inputHash,
      occurrence: call.occurrence,
      revision: call.revision ?? 0,
      call: call.call,
      round: call.round,
      kind,
      spent: false,
      worker: dependencies.worker,
      model: prepared.step.model,
      account: prepared.step.account ?? null,
      lane: laneOf(prepared.step),
      quota_group: quotaGroup,
      prompt_hash: prepared.promptHash,
      request_id: null,
      reason: null,
      message: null,
      input_tokens: 0,
      output_tokens: 0,
      cache_read_tokens: 0,
      cache_write_5m_tokens: 0,
      cache_write_1h_tokens: 0,
      cost_micro_usd: null,
      answer: null,
    });
  }

  function countedUse(request: ModelRequest, usage: TokenUsage | undefined): QuotaUse {
    return usage === undefined ? { input: 0, output: 0 } : dependencies.countedUse(request, usage);
  }

  function billOf(options: CallToMake, usage: TokenUsage | undefined, requestId: string | null | undefined) {
    return {
      usage,
      costMicroUsd: usage === undefined ? 0 : dependencies.costMicroUsd(options.request.model, usage),
      requestId: requestId ?? null,
    };
  }

  /** Records a failed call and says what comes next: the hold, or another try after the delay that fits. */
  async function failed(attempt: number, error: ModelCallError, group: string, options: CallToMake): Promise<Error> {
    const { reason, message, details } = error;
    const rateLimited = reason === 'rate_limit';
    const permanent = REASONS[reason].permanence === 'permanent';
    if (rateLimited) await keepWriting(() => quota.close(group, details.retryAfterMs ?? RATE_LIMIT_WAIT_MS));
    await end(attempt, options, {
      ...billOf(options, details.usage, details.requestId),
      state: 'failed',
      spent: !rateLimited,
      reason,
      message,
    });
    if (permanent) return stepFailure(reason, message, error);
    const policy = dependencies.lanes[laneOf(options.prepared.step)];
    const failures = options.attempts.filter(({ spent }) => spent).length + (rateLimited ? 0 : 1);
    if (failures > policy.retries) return stepFailure(reason, message, error);
    return tryAgain(reason, message, dependencies.retryDelayMs(policy, Math.max(1, failures), details.retryAfterMs));
  }

  async function call(options: CallToMake): Promise<PaidCall> {
    const { prepared, request, watch, call: stepCall } = options;
    const { signal } = watch;
    await checkCircuit(options);
    const estimate = dependencies.estimate(request, stepCall.step);
    const tooLarge = await dependencies.checkContext(request, estimate, signal);
    if (tooLarge !== undefined) throw stepFailure('context_too_large', tooLarge);
    const quotaGroup = accountGroup(routing.quotaGroupOf(request.model), request.account);
    const reservation = await reserve(quotaGroup, options);
    const attempt = await reachingStore(() => open(quotaGroup, options)).catch((error: unknown) => {
      reservation.release();
      throw error;
    });
    if (attempt === undefined) {
      reservation.release();
      throw new CallTakenError();
    }
    watch.onPaying(true);

    let response: ModelResponse;
    try {
      const timeoutMs = prepared.step.timeoutMs ?? routing.callTimeoutMs;
      response = await observeCall(model, request, () =>
        model.call(request, {
          signal,
          timeoutMs,
          step: stepCall.step,
          onQuota: (reading) => reservation.observe(reading),
        }),
      );
    } catch (error) {
      const failure = error instanceof ModelCallError ? error : undefined;
      reservation.settle(countedUse(request, failure?.details.usage));
      if (failure !== undefined) throw await failed(attempt, failure, quotaGroup, options);
      // A port that breaks its promise: counted like every other failure, or it would be tried without end.
      if (!signal.aborted) throw await failed(attempt, unforeseen(error), quotaGroup, options);
      await end(attempt, options, {
        ...billOf(options, undefined, null),
        state: 'cancelled',
        spent: false,
        reason: null,
        message: 'Cancelled while the call was open; the provider may have charged for it.',
      });
      throw cancelled(signal, error);
    }
    reservation.settle(countedUse(request, response.usage));
    dependencies.learn(request, stepCall.step, response.usage, stepCall.inputLength);
    const bill = billOf(options, response.usage, response.requestId);
    return {
      response,
      accept: async (success) => {
        await keepWriting(() => succeedAttempt(store, attempt, { ...bill, ...success }));
        noteAttempt(attempt, options, { ...bill, state: 'succeeded', reason: null });
        await keepWriting(() => noteSuccessfulCall(store, circuitOf(options)));
        watch.onPaying(false);
      },
      reject: async (problem) => {
        await end(attempt, options, { ...bill, ...problem, state: 'failed' });
        watch.onPaying(false);
      },
    };
  }

  return { call, reachingStore };
}

function circuitOf({ call, request }: CallToMake): CircuitKey {
  // Another account is the way around what fails for everybody, and no sign that the main one works again.
  return { step: call.step, model: accountGroup(request.model, request.account) };
}

function probeOf({ chain, call }: CallToMake): string {
  return `${chain.id}\n${call.step}\n${call.call}`;
}

function unforeseen(error: unknown): ModelCallError {
  return new ModelCallError('unknown', error instanceof Error ? error.message : String(error), { cause: error });
}

function cancelled(signal: AbortSignal, error: unknown): unknown {
  if (!signal.aborted) return error;
  return signal.reason instanceof CancelledFailure ? signal.reason : new CancelledFailure('The call was cancelled.');
}
