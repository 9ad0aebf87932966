import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  condition,
  IllegalStateError,
  isCancellation,
  log,
  proxyActivities,
  workflowInfo,
} from '@temporalio/workflow';
import {
  type ModelActivities,
  PARKED,
  STEP_FAILURE,
  type StepCall,
  type StepFailureDetails,
  type StepPlan,
} from '../contracts/activities.js';
import { holdIdOf } from '../contracts/holds.js';
import type { StepOptions, StepProxies, StepRegistry, StepResult } from '../contracts/steps.js';
import { callEngine } from './engine-activities.js';
import { chainRef, engineState, take } from './engine-state.js';
import { waitAtHold } from './holds.js';
import { claimChainScopes, givingBack } from './scopes.js';
import { showDetails, showTenant } from './show-chain.js';

/**
 * The steps of a registry as async functions, for use in chains: `const { analyze } = proxySteps<typeof steps>()`.
 * A step never throws because of a failure: what cannot go on is held until a person sends it on its way again. It throws
 * `CancelledFailure` when the chain is cancelled.
 */
export function proxySteps<Registry extends StepRegistry>(): StepProxies<Registry> {
  return new Proxy({} as StepProxies<Registry>, {
    get: (_target, name) =>
      // `then` would make the proxy look like a promise to `await`.
      typeof name !== 'string' || name === 'then'
        ? undefined
        : (input: unknown, options?: StepOptions) => runStep(name, input, options),
  });
}

async function runStep(step: string, input: unknown, options: StepOptions = {}): Promise<StepResult<unknown>> {
  // Empty: that of a step that was skipped at the beginning of a conversation.
  const continues = options.continues?.conversation || undefined;
  // Named at once, in the order of the calls in the code, before anything is awaited.
  const json = JSON.stringify([engineState.generation, continues ?? null, input]);
  const inputHash = bytesToHex(sha256(utf8ToBytes(json)));
  const occurrence = take(engineState.occurrences, `${step}:${inputHash}`);
  const call = take(engineState.calls, step) + 1;
  warnOfLongHistory();
  const name = `${step} ${call}`;
  engineState.openSteps.add(name);
  showDetails();
  // All in one function: another await between the activity and the chain would let branches that go on in the same
  // workflow task give their commands in another order than open chains have in their histories.
  try {
    let revision = 0;
    let resolvedAt: string | undefined;
    for (let round = 0; ; ) {
      // Counted before the store is asked: a wake that comes while it answers must not be lost.
      const wakes = engineState.wakes;
      const outcome = await tryStep({
        ...chainRef(),
        step,
        inputHash,
        occurrence,
        call,
        round,
        input,
        inputLength: json.length,
        ...(continues === undefined ? {} : { continues }),
        ...(options.priority === undefined ? {} : { priority: options.priority }),
        ...(revision === 0 ? {} : { revision }),
        ...(resolvedAt === undefined ? {} : { resolvedAt }),
      });
      if ('result' in outcome) {
        take(engineState.finishedSteps, step);
        return outcome.result;
      }
      if ('parked' in outcome) {
        engineState.parkedSteps.set(name, outcome.parked);
        showDetails();
        const wake = () => condition(() => engineState.wakes > wakes);
        await (outcome.scoped === undefined ? wake() : givingBack(outcome.scoped, wake));
        engineState.parkedSteps.delete(name);
        showDetails();
        continue;
      }
      const { reason, message } = outcome.failure;
      const holdId = holdIdOf(step, call, round);
      const { verdict, edit } = await waitAtHold({
        holdId,
        kind: 'failure',
        reason,
        step,
        call,
        message,
        input,
        ...(continues === undefined ? {} : { continues }),
        ...('ifSkipped' in options ? { skippable: true } : {}),
      });
      if (verdict === 'skip') {
        take(engineState.finishedSteps, step);
        return { output: options.ifSkipped, conversation: continues ?? '' };
      }
      if (verdict === 'resolve') resolvedAt = holdId;
      else if (edit !== undefined) revision += 1;
      round += 1;
    }
  } finally {
    engineState.openSteps.delete(name);
    engineState.parkedSteps.delete(name);
    showDetails();
  }
}

/** Temporal terminates a workflow at 51,200 events. Only the author can say where the chain may continue as new. */
function warnOfLongHistory(): void {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  if (!continueAsNewSuggested || engineState.warnedOfLength) return;
  engineState.warnedOfLength = true;
  log.warn(`This chain's history has ${historyLength} events. Let it call continueAsNew before it reaches 50,000.`);
}

type Outcome =
  | { readonly result: StepResult<unknown> }
  | { readonly failure: StepFailureDetails }
  /** What it waits for; where that is a scope, the call that stands in line for it. */
  | { readonly parked: string; readonly scoped?: StepCall };

async function tryStep(asked: StepCall): Promise<Outcome> {
  const begun = engineState.generation > 0 || Object.keys(engineState.finishedSteps).length > 0;
  const call = { ...asked, begun };
  const { input: _, ...planned } = call;
  let plan = await callEngine('holdfastPlanStep', planned, `plan ${call.step}`);
  if (plan.kind === 'input') {
    const given = { ...planned, given: { input: call.input } };
    plan = await callEngine('holdfastPlanStep', given, `plan ${call.step}`);
  }
  if (plan.kind === 'claim') {
    await claimChainScopes();
    return tryStep(asked);
  }
  if (plan.tenant !== undefined) showTenant(plan.tenant);
  if (plan.kind === 'reuse') return { result: plan.result };
  if (plan.kind === 'hold') return { failure: plan };
  if (plan.kind === 'parked') return { parked: plan.cause, ...(plan.scoped ? { scoped: call } : {}) };
  if (plan.kind !== 'call') throw new IllegalStateError(`No step can follow the plan ${plan.kind}.`);
  const callPlan = plan;
  try {
    if (!callPlan.scoped) return { result: await callModel(call, callPlan) };
    return { result: await givingBack(call, () => callModel(call, callPlan)) };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const parked = parkedBy(error);
    return parked === undefined ? { failure: failureOf(error) } : { parked };
  }
}

function callModel(call: StepCall, plan: Extract<StepPlan, { kind: 'call' }>): Promise<StepResult<unknown>> {
  const { holdfastCallModel } = proxyActivities<ModelActivities>({
    activityId: holdIdOf(call.step, call.call, call.round),
    taskQueue: plan.taskQueue,
    startToCloseTimeout: plan.startToCloseMs,
    heartbeatTimeout: plan.heartbeatMs,
    priority: {
      priorityKey: plan.priorityKey,
      fairnessKey: plan.fairnessKey,
      fairnessWeight: plan.fairnessWeight,
    },
    // No maximumAttempts: it would count waits and crashes; the attempt rows count. The interval is that after a crash,
    // all other failures bring their own delay.
    retry: { initialInterval: '200 milliseconds', backoffCoefficient: 1 },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    // Eager dispatch would pass by the queue and with it the order of priorities.
    allowEagerDispatch: false,
    summary: plan.summary,
  });
  return holdfastCallModel(call);
}

/** What a call waits for that the model activity has given back; undefined for every other failure. */
function parkedBy(error: unknown): string | undefined {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof ApplicationFailure && cause.type === PARKED ? cause.message : undefined;
}

function failureOf(error: unknown): StepFailureDetails {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure && cause.type === STEP_FAILURE && cause.details?.[0] !== undefined) {
    return cause.details[0] as StepFailureDetails;
  }
  return { reason: 'unknown', message: cause instanceof Error ? cause.message : String(cause) };
}
