import { ApplicationFailure } from '@temporalio/common';
import { PARKED, type PlannedCall } from '../contracts/activities.js';
import type { AnyStep } from '../contracts/steps.js';
import type { Store } from '../store/database.js';
import { isParked, type ParkedCall, type ParkingCause, unparkCall } from '../store/parked.js';
import { parkIfPaused } from '../store/pauses.js';
import { laneOf } from './route-step.js';

/** A call of a chain, as it stands among those that are parked. */
export function parkedCallOf(chainId: string, { firstRunId, step, call }: PlannedCall): ParkedCall {
  return { chainId, firstRunId, step, call };
}

/** Parks a call when something that may last is in its way; returns what it is, or undefined when the call goes on. */
export async function parkIfStopped(
  store: Store,
  call: ParkedCall,
  step: AnyStep | undefined,
): Promise<ParkingCause | undefined> {
  const [wasParked, cause] = await Promise.all([
    isParked(store, call),
    step === undefined ? undefined : parkIfPaused(store, call, { lane: laneOf(step), model: step.model }),
  ]);
  if (wasParked && cause === undefined) await unparkCall(store, call);
  return cause;
}

/** Gives a call that has been parked back to its chain, which plans it again when the cause is over. */
export function givenBack(cause: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(cause, PARKED);
}
