import type { HoldDecision, HoldOutcome } from './holds.js';

/** Update: decides one hold and answers with the decision that counts. */
export const DECIDE_HOLD_UPDATE = 'holdfast_decide_hold';

/**
 * Signal: decides one hold. When it names none, `retry` is for all failures that are open, and `approve` or `reject` for
 * the one approval that is. Without a verdict it only tells the chain to look for a decision in the store; a client that
 * has written one there sends it.
 */
export const DECIDE_HOLD_SIGNAL = 'holdfast_decide';

/** Signal without content: what a parked call waits for may have changed. Nothing happens when it has not. */
export const WAKE_SIGNAL = 'holdfast_wake';

export interface DecideHoldInput extends HoldDecision {
  readonly holdId: string;
}
export type DecideHoldResult = HoldOutcome;

export interface DecideSignalInput extends Partial<HoldDecision> {
  readonly holdId?: string;
}

/** Header in which `continueAsNew` tells the next run what it needs to name its calls. */
export const HEADER_LINEAGE = 'holdfast-lineage';

/** Memo field that intake sets: the workflow is a chain. */
export const MEMO_CHAIN = 'holdfast';
