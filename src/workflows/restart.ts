import { condition, makeContinueAsNewFunc, workflowInfo } from '@temporalio/workflow';
import { engineState } from './engine-state.js';

/** Events after which a chain continues as new even if the server has not suggested it (its own default is 4,096). */
const LONG_HISTORY_EVENTS = 9_000;

/** What one fresh step leaves in history: a marker, three events of its activity, and its workflow tasks. */
const EVENTS_PER_STEP = 8;

/**
 * Continues a chain as new when its history has grown long. The next run calls the same function with the same arguments,
 * and the journal answers every step that is finished, for one event each, so it comes quickly to where it stood.
 *
 * Only for chains that have used nothing but steps: a timer, child workflow, activity or signal of the author's would run
 * or be lost a second time. Never while a hold is open. Not when most of the history is the journal's own answers: then
 * the next run would be no shorter.
 */
export async function restartFromJournalIfLong(): Promise<void> {
  if (!isDue()) return;
  await condition(() => engineState.inFlight === 0 || engineState.openHolds.size > 0);
  if (!isDue()) return;
  engineState.restarting = true;
  await makeContinueAsNewFunc()(...engineState.args);
}

function isDue(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return (
    (continueAsNewSuggested || historyLength > LONG_HISTORY_EVENTS) &&
    !engineState.usedMoreThanSteps &&
    engineState.openHolds.size === 0 &&
    engineState.freshCalls * EVENTS_PER_STEP > historyLength / 2
  );
}
