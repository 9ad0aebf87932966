import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ChainRef, EngineActivities, StepCall } from '../contracts/activities.js';
import type { StepRegistry, StepResult } from '../contracts/steps.js';
import { findSuccess, type JournalKey, recordReuse } from '../store/attempts.js';
import { closeChain, ensureChain } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { decideHold, type HoldScope, markDecisionTaken, openHold, readDecision } from '../store/holds.js';
import { planCall, type StepRouting } from './route-step.js';

export interface EngineActivityDependencies {
  readonly store: Store;
  readonly steps: StepRegistry;
  readonly routing: StepRouting;
}

/** The id of the workflow that called the running activity: that of its chain. */
export function callingChain(): { readonly id: string; readonly runId: string } {
  const { workflowExecution } = activityInfo();
  if (workflowExecution === undefined) throw ApplicationFailure.nonRetryable('Only a chain can call this activity.');
  return { id: workflowExecution.workflowId, runId: workflowExecution.runId };
}

/** The journal's name for a call of the running activity's chain. No edit has raised the revision yet. */
export function journalKey(chainId: string, call: StepCall): JournalKey {
  const { firstRunId, step, inputHash, occurrence } = call;
  return { chainId, firstRunId, step, inputHash, occurrence, revision: 0 };
}

/** The engine's own activities over the store. Each may run twice: the second time changes nothing. */
export function createEngineActivities({ store, steps, routing }: EngineActivityDependencies): EngineActivities {
  const scope = ({ firstRunId }: ChainRef): HoldScope => ({ chainId: callingChain().id, firstRunId });

  return {
    async holdfastPlanStep(call) {
      const { id, runId } = callingChain();
      const chain = await ensureChain(store, { ...call, id, runId, type: call.chain });
      const success = await findSuccess(store, journalKey(id, call));
      if (success !== undefined) {
        await recordReuse(store, success, runId);
        return { kind: 'reuse', result: JSON.parse(success.result as string) as StepResult<unknown> };
      }
      return planCall(call, { tenant: chain.tenant, priority: chain.priority }, steps, routing);
    },

    async holdfastOpenHold(hold) {
      await ensureChain(store, { ...hold, ...callingChain(), type: hold.chain });
      const decision = await openHold(store, scope(hold), hold);
      if (decision !== null) await markDecisionTaken(store, scope(hold), hold.holdId);
      return decision;
    },

    async holdfastDecideHold(input) {
      const outcome = await decideHold(store, scope(input), input.holdId, input.decision);
      if (outcome === null) throw ApplicationFailure.nonRetryable(`No hold ${input.holdId}.`, 'HoldNotFound');
      await markDecisionTaken(store, scope(input), input.holdId);
      return outcome;
    },

    async holdfastReadHold(input) {
      const decision = await readDecision(store, scope(input), input.holdId);
      if (decision !== null) await markDecisionTaken(store, scope(input), input.holdId);
      return decision;
    },

    async holdfastCloseChain({ state, output, message }) {
      const { id, runId } = callingChain();
      await closeChain(store, id, {
        state,
        runId,
        ...(state === 'completed' ? { output: JSON.stringify(output ?? null) } : {}),
        // Temporal's cancellation brings no reason along, or an empty one.
        ...(message ? { message } : state === 'cancelled' ? { message: 'Cancelled on request.' } : {}),
      });
    },
  };
}
