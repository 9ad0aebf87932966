import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ChainRef, EngineActivities, PlannedCall } from '../contracts/activities.js';
import type { ApprovalRegistry } from '../contracts/approvals.js';
import { checkBrought } from '../contracts/check-decision.js';
import { HoldfastError } from '../contracts/errors.js';
import type { HoldDecision, HoldRequest, SettledDecision, StepEdit } from '../contracts/holds.js';
import { isReasonCode, type OwnReasons } from '../contracts/reasons.js';
import { scheduledKey } from '../contracts/schedules.js';
import type { AnyStep, StepRegistry, StepResult } from '../contracts/steps.js';
import { findSuccess, type JournalKey, recordReuse } from '../store/attempts.js';
import {
  type ChainHead,
  closeChain,
  ensureChain,
  findChainHead,
  type RunningChain,
  wasClosedBeforeStart,
} from '../store/chains.js';
import type { Store } from '../store/database.js';
import {
  decideHold,
  findHold,
  type HoldScope,
  listStepEdits,
  markDecisionTaken,
  openHold,
  readDecision,
} from '../store/holds.js';
import { insertScheduledChain } from '../store/scheduled-chains.js';
import { tenantWeight } from '../store/weights.js';
import { editCall, readEdit } from './edit-call.js';
import { noteDecision, noteEnd, noteHold } from './observe.js';
import { parkedCallOf, parkIfStopped } from './parking.js';
import { resolveStep } from './resolve-step.js';
import { groupNameOf, planCall, type StepRouting } from './route-step.js';
import { createScopeActivities, type ScopedApplication } from './scopes.js';

export interface EngineActivityDependencies {
  readonly store: Store;
  readonly steps: StepRegistry;
  /** Chains and scopes as far as they have to do with each other. Default: none. */
  readonly chains?: ScopedApplication['chains'];
  readonly scopes?: ScopedApplication['scopes'];
  readonly approvals?: ApprovalRegistry;
  /** Codes of the application's own. Default: none. */
  readonly reasons?: OwnReasons;
  readonly routing: StepRouting;
}

export type CallingChain = Pick<RunningChain, 'id' | 'runId' | 'namespace'>;

type DecideInput = Parameters<EngineActivities['holdfastDecideHold']>[0];

/** What a person did wrong is no reason to try again. */
function refused(error: unknown): never {
  if (error instanceof HoldfastError) throw ApplicationFailure.nonRetryable(error.message, error.code);
  throw error;
}

/** The workflow that called the running activity: that of its chain. */
export function callingChain(): CallingChain {
  const { workflowExecution, workflowNamespace } = activityInfo();
  if (workflowExecution === undefined) throw ApplicationFailure.nonRetryable('Only a chain can call this activity.');
  return { id: workflowExecution.workflowId, runId: workflowExecution.runId, namespace: workflowNamespace ?? '' };
}

/** The journal's name for a call of the running activity's chain. */
export function journalKey(chainId: string, call: PlannedCall): JournalKey {
  const { firstRunId, step, inputHash, occurrence, revision = 0 } = call;
  return { chainId, firstRunId, step, inputHash, occurrence, revision };
}

/**
 * The chain on whose behalf an activity runs. Throws for one that was cancelled while it was queued and has been started
 * all the same, and for a run that has failed or was cancelled and comes again: Temporal was restored from an older copy.
 * Nothing may be paid for either. One that has completed may run again to its end, over the answers in the journal.
 */
export async function runningChain(store: Store, ref: ChainRef, caller: CallingChain): Promise<ChainHead> {
  const { chain: type, firstRunId, parentId } = ref;
  const chain = await ensureChain(store, {
    ...caller,
    type,
    firstRunId,
    ...(parentId === undefined ? {} : { parentId }),
  });
  const comesAgain = chain.closed_run_id === caller.runId && chain.state !== 'completed';
  if (wasClosedBeforeStart(chain) || (chain.closed_at !== null && comesAgain)) {
    throw ApplicationFailure.nonRetryable(chain.message ?? `The chain is ${chain.state}.`, 'ClosedBeforeStart');
  }
  return chain;
}

/** The engine's own activities over the store. Each may run twice: the second time changes nothing. */
export function createEngineActivities(dependencies: EngineActivityDependencies): EngineActivities {
  const { store, steps, approvals, reasons = {}, routing } = dependencies;
  const scopes = createScopeActivities(store, dependencies);
  const scope = ({ firstRunId }: ChainRef): HoldScope => ({ chainId: callingChain().id, firstRunId });

  /** What a decision brings along fits its schema, whichever way the decision came. */
  async function checkedDecision({ holdId, decision, ...ref }: DecideInput): Promise<HoldDecision> {
    if (decision.edit === undefined) return decision;
    const hold = await findHold(store, scope(ref), holdId);
    if (hold === undefined) return decision;
    const checked = await checkBrought(
      { steps, accounts: routing.accounts ?? [], ...(approvals && { approvals }) },
      hold,
      decision,
    );
    if (!checked.ok) throw ApplicationFailure.nonRetryable(checked.error, 'BadEdit');
    return { ...decision, edit: checked.value };
  }

  /** The call and its step as people have edited them. */
  function editedPlan(asked: PlannedCall, edit: StepEdit): { call: PlannedCall; step: AnyStep | undefined } {
    const step = Object.hasOwn(steps, asked.step) ? steps[asked.step] : undefined;
    if (step === undefined) return { call: asked, step };
    const { input, ...others } = edit;
    const edited = editCall(step, asked, others);
    const call = input === undefined || asked.given === undefined ? edited.call : { ...edited.call, given: { input } };
    return { call, step: edited.step };
  }

  /** A reason that nobody knows says nothing, and what to do about one of the application's own is kept with the hold. */
  function knownReason({ reason, message }: HoldRequest) {
    const own = Object.hasOwn(reasons, reason) ? reasons[reason] : undefined;
    if (own !== undefined) return { suggestedAction: own.suggestedAction };
    return isReasonCode(reason)
      ? {}
      : { reason: 'unknown' as const, message: `Reason ${reason}, which is in no registry: ${message}` };
  }

  /** The model that was to answer a step that is held. */
  async function modelOf({ kind, step, ...hold }: HoldRequest & ChainRef): Promise<string | null> {
    if (kind !== 'failure' || !Object.hasOwn(steps, step)) return null;
    const edits = await listStepEdits(store, scope(hold), { step, call: hold.call });
    return edits.findLast(({ model }) => model !== undefined)?.model ?? (steps[step] as AnyStep).model;
  }

  async function decided(hold: HoldScope, holdId: string, decision: SettledDecision): Promise<void> {
    // One to cancel is taken when the chain has ended.
    if (decision.verdict !== 'cancel') await markDecisionTaken(store, hold, holdId);
    noteDecision(holdId, decision);
  }

  return {
    async holdfastPlanStep(asked) {
      const { id, runId, namespace } = callingChain();
      const key = journalKey(id, asked);
      const [chain, success, edit] = await Promise.all([
        runningChain(store, asked, { id, runId, namespace }),
        findSuccess(store, key),
        readEdit(store, id, asked),
      ]);
      const { call, step: known } = editedPlan(asked, edit);
      // What the journal has costs nothing, and goes on whatever is in the way of others.
      const step = success === undefined ? known : undefined;
      if (success === undefined && known !== undefined && call.resolvedAt !== undefined) {
        const quotaGroup = groupNameOf(known, routing);
        const result = await resolveStep(store, chain, key, { call, step: known, quotaGroup, runId });
        return { tenant: chain.tenant, kind: 'reuse', result };
      }
      const cause = await parkIfStopped(store, parkedCallOf(id, call), step);
      if (cause !== undefined) {
        // Others go on meanwhile.
        if (scopes.isScoped(call.step)) await scopes.release(id, call);
        return { tenant: chain.tenant, kind: 'parked', cause: cause.text };
      }
      if (success !== undefined) {
        await recordReuse(store, success, runId);
        // Its activity may have died before it gave them back.
        if (scopes.isScoped(call.step)) await scopes.release(id, call);
        return {
          tenant: chain.tenant,
          kind: 'reuse',
          result: JSON.parse(success.result as string) as StepResult<unknown>,
        };
      }
      const { tenant, priority } = chain;
      const registry = known === undefined ? steps : { ...steps, [call.step]: known };
      const plan = planCall(call, { tenant, weight: await tenantWeight(store, tenant), priority }, registry, routing);
      if (plan.kind !== 'call') return { tenant, ...plan };
      const inTheWay = await scopes.beforeCall(call, chain);
      if (inTheWay !== undefined) return { tenant, ...inTheWay };
      return { tenant, ...plan, ...(scopes.isScoped(call.step) ? { scoped: true as const } : {}) };
    },

    async holdfastBeginScheduled({ chain: type, firstRunId, schedule, scheduledAt, input, ...begun }) {
      const at = new Date(scheduledAt);
      const isFirst = await insertScheduledChain(store, {
        ...callingChain(),
        ...begun,
        type,
        firstRunId,
        key: scheduledKey(schedule, at),
        input: input === undefined ? null : JSON.stringify(input),
        scheduledAt: at,
      });
      if (isFirst) return;
      throw ApplicationFailure.nonRetryable(`${schedule} has a chain for ${scheduledAt} already.`, 'FiredAlready');
    },

    async holdfastOpenHold(hold) {
      const chain = await runningChain(store, hold, callingChain());
      const known = knownReason(hold);
      const decision = await openHold(store, scope(hold), {
        ...hold,
        ...known,
        model: await modelOf(hold),
        scopes: hold.kind === 'failure' ? await scopes.labelsOf(chain, hold) : [],
      });
      if (decision !== null) await decided(scope(hold), hold.holdId, decision);
      else noteHold({ ...hold, ...known });
      return decision;
    },

    async holdfastDecideHold(input) {
      await runningChain(store, input, callingChain());
      const { holdId, decisionId } = input;
      const decision = await checkedDecision(input);
      const outcome = await decideHold(store, scope(input), holdId, decision, decisionId).catch(refused);
      if (outcome === null) throw ApplicationFailure.nonRetryable(`No hold ${input.holdId}.`, 'HoldNotFound');
      await decided(scope(input), input.holdId, outcome.decision);
      return outcome;
    },

    async holdfastReadHold(input) {
      await runningChain(store, input, callingChain());
      const decision = await readDecision(store, scope(input), input.holdId);
      if (decision !== null) await decided(scope(input), input.holdId, decision);
      return decision;
    },

    async holdfastCloseChain({ state, output, message }) {
      const { id, runId } = callingChain();
      const isFirstEnd = await closeChain(store, id, {
        state,
        runId,
        ...(state === 'completed' ? { output: JSON.stringify(output ?? null) } : {}),
        // Temporal's cancellation brings no reason along, or an empty one.
        ...(message ? { message } : state === 'cancelled' ? { message: 'Cancelled on request.' } : {}),
      });
      const chain = isFirstEnd ? await findChainHead(store, id) : undefined;
      if (chain !== undefined) noteEnd(chain, state);
      scopes.wake();
    },

    async holdfastClaimScopes({ input, ...ref }) {
      const chain = await runningChain(store, ref, callingChain());
      return scopes.claimChain(chain, ref, input).catch(refused);
    },

    async holdfastReleaseScopes({ call }) {
      await scopes.release(callingChain().id, call);
    },
  };
}
