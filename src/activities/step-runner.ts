import { TemporalFailure } from '@temporalio/common';
import type { StepCall } from '../contracts/activities.js';
import type { Lane, LanePolicy } from '../contracts/lanes.js';
import { MAX_INTERRUPTIONS } from '../contracts/lanes.js';
import type { ModelResponse, Turn } from '../contracts/models.js';
import { isReasonCode, REASONS, type ReasonCode } from '../contracts/reasons.js';
import type { AnyStep, StepRegistry, StepResult } from '../contracts/steps.js';
import { type ParsedOutput, parseOutput } from '../models/parse-output.js';
import {
  type AttemptRow,
  interruptAttempt,
  isOlderThan,
  type JournalKey,
  listAttempts,
  recordReuse,
} from '../store/attempts.js';
import { findBlobs } from '../store/blobs.js';
import type { ChainHead } from '../store/chains.js';
import { encodeTurns, readConversation } from '../store/conversations.js';
import type { Store } from '../store/database.js';
import { isWorkerAlive } from '../store/liveness.js';
import { CallParkedError } from '../store/parked.js';
import { type EditedCall, editCall, readEdit } from './edit-call.js';
import { type CallingChain, journalKey, runningChain } from './engine-activities.js';
import {
  CallTakenError,
  createModelCaller,
  KEEP_ANSWER_MS,
  type ModelCallerDependencies,
  type PaidCall,
  type StepWatch,
} from './model-caller.js';
import { observeStep } from './observe.js';
import { givenBack, parkedCallOf, parkIfStopped } from './parking.js';
import { type PreparedCall, prepareCall, repairRequest, textTurn } from './prepare-call.js';
import { laneOf, type StepRouting } from './route-step.js';
import { createScopeActivities, type ScopedApplication } from './scopes.js';
import { stepFailure } from './step-failure.js';

export interface StepRunnerDependencies extends ModelCallerDependencies {
  readonly store: Store;
  readonly steps: StepRegistry;
  /** What steps name. Default: none. */
  readonly scopes?: ScopedApplication['scopes'];
  readonly routing: StepRouting;
  readonly lanes: Readonly<Record<Lane, LanePolicy>>;
}

/** How long a live worker may take to show itself again after the store came back, in milliseconds. */
const RELOCK_MS = 1_000;

/** How often a call that another live worker has open is looked at, in milliseconds. */
const OPEN_ELSEWHERE_POLL_MS = 250;

type StepRunner = (call: StepCall, caller: CallingChain, watch: StepWatch) => Promise<StepResult<unknown>>;

/** What is known of a call: its answer, or how earlier attempts ended. */
type PastAttempts = { readonly success: AttemptRow } | { readonly attempts: readonly AttemptRow[] };

/**
 * Runs one call of a step to its end: journal, attempts so far, prompt, model, check of the answer, store. What it throws
 * is for Temporal: a step failure that makes a hold, a failure to be tried again later, or a cancellation.
 */
export function createStepRunner(dependencies: StepRunnerDependencies): StepRunner {
  const { store, steps } = dependencies;
  const caller = createModelCaller(dependencies);
  const scopes = createScopeActivities(store, dependencies);

  return async (call, workflow, watch) => {
    for (;;) {
      try {
        return await run(call, workflow, watch);
      } catch (error) {
        if (error instanceof CallTakenError) continue;
        if (error instanceof CallParkedError) throw givenBack(error.message);
        if (error instanceof TemporalFailure || watch.signal.aborted) throw error;
        // Nothing that Temporal could mend by trying again without end; and nothing was paid that is not written down.
        throw stepFailure('unknown', error instanceof Error ? error.message : String(error), error);
      }
    }
  };

  async function run(asked: StepCall, workflow: CallingChain, watch: StepWatch): Promise<StepResult<unknown>> {
    const known = Object.hasOwn(steps, asked.step) ? steps[asked.step] : undefined;
    if (known === undefined) throw stepFailure('unsupported_step', `This worker has no step ${asked.step}.`);
    const key = journalKey(workflow.id, asked);
    const edit = await caller.reachingStore(() => readEdit(store, workflow.id, asked));
    const edited = editCall(known, asked, edit);
    const { step, call } = edited;
    const [chain, past] = await caller.reachingStore(() =>
      Promise.all([runningChain(store, call, workflow), pastAttempts(key, step, watch)]),
    );
    const { reachingStore } = caller;
    const waiting = 'success' in past ? undefined : step;
    const run = async (): Promise<StepResult<unknown>> => {
      // It may have come to be in the way while the call stood in Temporal's queue.
      const cause = await reachingStore(() => parkIfStopped(store, parkedCallOf(chain.id, call), waiting));
      if (cause !== undefined) throw givenBack(cause.text);
      return observeStep(call, chain, () => runFor(chain, past, edited, workflow.runId, watch));
    };
    return scopes.during(call, chain, run, {
      worker: dependencies.worker,
      answered: 'success' in past,
      reachingStore,
      goesOn: (error) => error instanceof CallTakenError || watch.signal.aborted,
    });
  }

  async function runFor(
    chain: ChainHead,
    past: PastAttempts,
    { step, call, editTurns }: EditedCall<StepCall>,
    runId: string,
    watch: StepWatch,
  ): Promise<StepResult<unknown>> {
    if ('success' in past) {
      await caller.reachingStore(() => recordReuse(store, past.success, runId));
      return JSON.parse(past.success.result as string) as StepResult<unknown>;
    }
    const attempts = past.attempts.filter(({ round }) => round === call.round);
    stopIfUsedUp(attempts, dependencies.lanes[laneOf(step)]);
    const stored = await caller.reachingStore(() => continued(chain, call));
    const conversation = editTurns === undefined ? stored : editTurns(stored);
    const prepared = await prepareCall(step, call, conversation, (addresses) =>
      caller.reachingStore(() => findBlobs(store, chain.tenant, addresses)),
    );
    // A conversation whose beginning was edited is another one: it is kept anew, from its first turn on.
    const added =
      editTurns === undefined ? { parent: call.continues, turns: [] } : { parent: undefined, turns: conversation };
    const context = { call, chain, runId, prepared, attempts, watch, added };

    const first = unusable(attempts, 'call') ?? (await askOnce(context));
    if ('result' in first) return first.result;
    if (unusable(attempts, 'repair') !== undefined) throw stepFailure('schema_mismatch', first.problem);
    const second = await askOnce(context, first);
    if ('result' in second) return second.result;
    throw stepFailure('schema_mismatch', second.problem);
  }

  /** The success of a call, or its attempts, once none of them is open any more. */
  async function pastAttempts(key: JournalKey, step: AnyStep, { signal, onPassed }: StepWatch): Promise<PastAttempts> {
    for (;;) {
      const attempts = await listAttempts(store, key);
      const success = attempts.findLast(({ state }) => state === 'succeeded');
      if (success !== undefined) return { success };
      const open = attempts.filter(({ state }) => state === 'open');
      if (open.length === 0) return { attempts };
      let openElsewhere = false;
      for (const attempt of open) {
        if (await isOpenElsewhere(attempt, step)) openElsewhere = true;
        else await interruptAttempt(store, attempt.id);
      }
      if (!openElsewhere) continue;
      signal.throwIfAborted();
      onPassed();
      await new Promise((resolve) => setTimeout(resolve, OPEN_ELSEWHERE_POLL_MS));
    }
  }

  /** Whether an open attempt may still end: its worker lives, is not this one, and has not had more time than it gets. */
  async function isOpenElsewhere(attempt: AttemptRow, step: AnyStep): Promise<boolean> {
    if (attempt.worker === null || attempt.worker === dependencies.worker) return false;
    // A call, and then its answer may wait for the store: longer than both, no live worker has it open.
    const limitMs = (step.timeoutMs ?? dependencies.routing.callTimeoutMs) + KEEP_ANSWER_MS;
    if (await isOlderThan(store, attempt.id, limitMs)) return false;
    if (await isWorkerAlive(store, attempt.worker)) return true;
    // PostgreSQL drops all locks when it restarts, and live workers need a moment to take theirs again.
    await new Promise((resolve) => setTimeout(resolve, RELOCK_MS));
    return isWorkerAlive(store, attempt.worker);
  }

  async function continued(chain: ChainHead, call: StepCall): Promise<Turn[]> {
    if (call.continues === undefined) return [];
    const turns = await readConversation(store, chain.tenant, call.continues);
    if (turns !== null) return turns;
    throw stepFailure(
      'malformed_payload',
      `The conversation ${call.continues} that ${call.step} is to continue is not one of tenant ${JSON.stringify(chain.tenant)}.`,
    );
  }

  /** Makes one call and checks its answer; `repaired` is the answer that did not fit, to be shown to the model. */
  async function askOnce(
    context: {
      readonly call: StepCall;
      readonly chain: ChainHead;
      readonly runId: string;
      readonly prepared: PreparedCall;
      readonly attempts: readonly AttemptRow[];
      readonly watch: StepWatch;
      /** The turns before this call that are to be kept with it, and what they go on from. */
      readonly added: { readonly parent: string | undefined; readonly turns: readonly Turn[] };
    },
    repaired?: Unusable,
  ): Promise<{ readonly result: StepResult<unknown> } | Unusable> {
    const { chain, prepared, added } = context;
    const request =
      repaired === undefined ? prepared.request : repairRequest(prepared, repaired.answer, repaired.problem);
    const paid = await caller.call({ ...context, request, kind: repaired === undefined ? 'call' : 'repair' });
    await stopIfCutShort(paid);
    const checked = await check(prepared, paid.response.text);
    if (!checked.ok) {
      await paid.reject({
        reason: 'schema_mismatch',
        message: checked.error,
        answer: paid.response.text,
        spent: false,
      });
      return { answer: paid.response.text, problem: checked.error };
    }
    const turns = encodeTurns(added.parent, [
      ...added.turns,
      prepared.userTurn,
      textTurn('assistant', paid.response.text),
    ]);
    const result: StepResult<unknown> = { output: checked.value, conversation: turns.last };
    await paid.accept({ tenant: chain.tenant, turns: turns.bytes, result: JSON.stringify(result) });
    return { result };
  }
}

/** An answer that did not fit its schema. */
interface Unusable {
  readonly answer: string;
  readonly problem: string;
}

/** The unusable answer that an earlier activity of this round was given, so that it need not be paid for again. */
function unusable(attempts: readonly AttemptRow[], kind: 'call' | 'repair'): Unusable | undefined {
  const attempt = attempts.findLast((row) => row.kind === kind && row.reason === 'schema_mismatch');
  return attempt === undefined ? undefined : { answer: attempt.answer ?? '', problem: attempt.message ?? '' };
}

function stopIfUsedUp(attempts: readonly AttemptRow[], policy: LanePolicy): void {
  const interrupted = attempts.filter(({ state }) => state === 'interrupted');
  if (interrupted.length >= MAX_INTERRUPTIONS) {
    throw stepFailure('worker_lost', `${interrupted.length} workers died while they made this call.`);
  }
  const spent = attempts.filter((attempt) => attempt.spent);
  const last = spent.at(-1);
  if (last === undefined) return;
  const reason = isReasonCode(last.reason) ? last.reason : 'unknown';
  // Permanent: its worker died between writing that down and reporting it.
  if (spent.length > policy.retries || REASONS[reason].permanence === 'permanent') {
    throw stepFailure(reason, last.message ?? '');
  }
}

async function stopIfCutShort(paid: PaidCall): Promise<void> {
  const problem = cutShort(paid.response);
  if (problem === undefined) return;
  await paid.reject({ ...problem, answer: paid.response.text, spent: true });
  throw stepFailure(problem.reason, problem.message);
}

function cutShort({ stopReason, text }: ModelResponse): { reason: ReasonCode; message: string } | undefined {
  if (stopReason === 'refusal') return { reason: 'refusal', message: text.slice(0, 500) || REASONS.refusal.meaning };
  if (stopReason === 'max_tokens') return { reason: 'max_tokens', message: REASONS.max_tokens.meaning };
  return undefined;
}

async function check({ step }: PreparedCall, text: string): Promise<ParsedOutput<unknown>> {
  if (step.output !== undefined) return parseOutput<unknown>(step.output, text);
  // It could not be continued: the provider refuses an empty turn.
  return text.trim() === '' ? { ok: false, error: 'The answer is empty.' } : { ok: true, value: text };
}
