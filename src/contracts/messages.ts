import type { HoldDecision, HoldOutcome } from './holds.js';

/**
 * Names of the messages that every chain understands; workflow and clients share them. A signal without `holdId`
 * decides every open hold.
 */
export const DECIDE_HOLD_UPDATE = 'holdfast_decide_hold';
export const DECIDE_HOLD_SIGNAL = 'holdfast_decide';
export const STEPS_QUERY = 'holdfast_steps';

export interface DecideHoldInput extends HoldDecision {
  readonly holdId: string;
}
export type DecideHoldResult = HoldOutcome;

export interface DecideSignalInput extends Partial<HoldDecision> {
  readonly holdId?: string;
}

/** Workflow headers, memo fields and change ids of the engine. */
export const HEADER_OCCURRENCES = 'holdfast-occurrences';
export const HEADER_CHAIN = 'holdfast-chain';
