import type { ChainState } from '../contracts/chains.js';
import type { HoldDecision, HoldOutcome } from '../contracts/holds.js';
import type { ChainStatus } from '../contracts/status.js';

export interface SubmitResult {
  readonly id: string;
  /** True when an earlier submission is answered instead of a new chain. */
  readonly duplicate: boolean;
  readonly state: ChainState;
  /** When it starts (ISO 8601); undefined unless it is queued for later. */
  readonly startsAt?: string;
  /** Why the chain is only queued; undefined when its workflow has been started. */
  readonly warning?: string;
}

/** Who decides, and why. */
export type Decider = Pick<HoldDecision, 'by' | 'note'>;

export interface DecideResult {
  readonly id: string;
  readonly holds: readonly { readonly id: string; readonly outcome: HoldOutcome }[];
  /** Why the decisions have not been delivered yet; they will be. */
  readonly warning?: string;
}

export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** Wait on while the chain is held. */
  readonly throughHolds?: boolean;
}

/** What a handle needs of a client. */
export interface ChainOperations {
  status(id: string): Promise<ChainStatus>;
  wait(id: string, options?: WaitOptions): Promise<ChainStatus>;
  decide(id: string, decision: HoldDecision, holdId?: string): Promise<DecideResult>;
  cancel(id: string): Promise<{ readonly id: string; readonly state: ChainState }>;
}
