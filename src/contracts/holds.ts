import type { ReasonCode } from './reasons.js';

/** Why a person must decide: a step cannot go on (`failure`, a dead letter), or a chain asked for a yes (`approval`). */
export type HoldKind = 'failure' | 'approval';

/** What a person can decide about a hold. Cancelling a chain is Temporal's own cancellation and needs no decision. */
export type HoldVerdict = 'retry';

export interface HoldDecision {
  readonly verdict: HoldVerdict;
  /** Who decided: a name, an address, a program. */
  readonly by: string;
  readonly note?: string;
}

/** A decision that stands, with its time (ISO 8601). */
export interface SettledDecision extends HoldDecision {
  readonly at: string;
}

/** What the workflow hands to the store when it parks. */
export interface HoldRequest {
  readonly holdId: string;
  readonly kind: HoldKind;
  readonly reason: ReasonCode;
  readonly step: string;
  readonly call: number;
  readonly message: string;
}

/** The answer to a decision: the one that counts, and whether it is the caller's. */
export interface HoldOutcome {
  readonly accepted: boolean;
  readonly decision: SettledDecision;
}

/** Hold ids are made in the workflow: `h1`, `h2`, … in the order in which a run parks. The chain id makes them unique. */
export function holdId(ordinal: number): string {
  return `h${ordinal}`;
}
