import { CancellationScope, condition, isCancellation, workflowInfo } from '@temporalio/workflow';
import type { StepCall } from '../contracts/activities.js';
import { MEMO_CHAIN } from '../contracts/messages.js';
import { callEngine } from './engine-activities.js';
import { chainRef, engineState, type OpenHold } from './engine-state.js';
import { showDetails } from './show-chain.js';

// Commands of these functions are given by chains with scopes only, so that the histories of all others stay as they are.

/** Whether intake has said that the chain takes scopes before its function begins. */
export function isScoped(): boolean {
  const memo = workflowInfo().memo?.[MEMO_CHAIN] as { readonly scoped?: boolean } | undefined;
  return memo?.scoped === true;
}

/** Stands in line for the chain's scopes, parked, until it has them. */
export async function claimChainScopes(): Promise<void> {
  for (;;) {
    // Counted before the store is asked: a wake that comes while it answers must not be lost.
    const wakes = engineState.wakes;
    const input = { ...chainRef(), input: engineState.input };
    const { admitted, releaseOnHold, cause = 'scopes' } = await callEngine('holdfastClaimScopes', input, 'take scopes');
    if (admitted) {
      engineState.scopes = { releaseOnHold, lent: false };
      return;
    }
    engineState.parkedSteps.set('the chain', cause);
    showDetails();
    try {
      await condition(() => engineState.wakes > wakes);
    } finally {
      engineState.parkedSteps.delete('the chain');
    }
  }
}

/** Lets others have the chain's scopes while nothing of it is open but holds, until this one is decided. */
export async function lendWhileHeld(hold: OpenHold): Promise<void> {
  const isDecided = (): boolean => hold.decision !== undefined;
  while (!isDecided()) {
    await condition(() => isDecided() || mayLend());
    const { scopes } = engineState;
    if (isDecided() || scopes === undefined) return;
    scopes.lent = true;
    await callEngine('holdfastReleaseScopes', chainRef(), 'give scopes back while held');
  }
}

function mayLend(): boolean {
  const { scopes, openHolds, openSteps } = engineState;
  if (scopes === undefined || scopes.lent) return false;
  const undecided = [...openHolds.values()].filter(({ decision }) => decision === undefined);
  if (undecided.length < openHolds.size) return false;
  const held = new Set(undecided.map(({ request }) => `${request.step} ${request.call}`));
  return [...openSteps].every((name) => held.has(name));
}

/** Takes back what was lent. */
export async function regainScopes(): Promise<void> {
  if (engineState.scopes?.lent) await claimChainScopes();
}

/** Runs what a call has scopes for, or stands in line for; when it is cancelled they are given back. */
export async function givingBack<Result>(call: StepCall, run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (isCancellation(error)) {
      const { step, inputHash, occurrence } = call;
      const input = { ...chainRef(), call: { step, inputHash, occurrence } };
      await CancellationScope.nonCancellable(() =>
        callEngine('holdfastReleaseScopes', input, `give back scopes of ${step}`),
      );
    }
    throw error;
  }
}
