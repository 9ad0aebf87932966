import { ApplicationFailure } from '@temporalio/common';
import { STEP_FAILURE, type StepFailureDetails } from '../contracts/activities.js';
import type { AnyReason, ReasonCode } from '../contracts/reasons.js';

/** The failure of a step that no retry will mend: the workflow makes a hold of it. */
export function stepFailure(reason: AnyReason, message: string, cause?: unknown): ApplicationFailure {
  const details: StepFailureDetails = { reason, message };
  return ApplicationFailure.create({
    type: STEP_FAILURE,
    message: `${reason}: ${message}`,
    nonRetryable: true,
    details: [details],
    ...(cause instanceof Error ? { cause } : {}),
  });
}

/** A failure after which Temporal gives the call out again, `delayMs` milliseconds later. */
export function tryAgain(
  reason: ReasonCode | 'store_unreachable',
  message: string,
  delayMs: number,
): ApplicationFailure {
  return ApplicationFailure.create({
    type: reason,
    message: `${reason}: ${message}`,
    nonRetryable: false,
    nextRetryDelay: Math.round(delayMs),
  });
}
