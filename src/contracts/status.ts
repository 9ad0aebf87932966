import type { ChainState } from './chains.js';
import type { HoldKind, HoldVerdict, SettledDecision } from './holds.js';
import type { Priority } from './priority.js';

/**
 * `queued`: not yet called; `running`: a call is open; `waiting`: for quota or the next retry; `parked`: outside of every
 * queue, for what `waitsFor` says.
 */
export type StepState = 'queued' | 'running' | 'waiting' | 'parked' | 'held' | 'completed' | 'cancelled';

export interface StepStatus {
  readonly name: string;
  /** The how-manieth call of this step in the chain, from 1. */
  readonly call: number;
  readonly state: StepState;
  /** What it waits for, for people; null when it does not wait, or nobody knows. */
  readonly waitsFor: string | null;
  /** Model calls made for it, also those that failed. */
  readonly attempts: number;
  readonly model: string | null;
  /** Sums over its attempts. Input tokens exclude cache reads and writes, as the provider reports them. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWriteTokens: number;
  /** Micro-dollars; null when the model has no known price. */
  readonly costMicroUsd: number | null;
  /** True when a replay or reset took the result from the journal instead of calling again. */
  readonly fromJournal: boolean;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

export interface HoldStatus {
  readonly id: string;
  readonly kind: HoldKind;
  readonly reason: string;
  readonly step: string;
  readonly message: string;
  readonly suggestedAction: string;
  /** What can be decided. */
  readonly verdicts: readonly HoldVerdict[];
  /** What is to be approved; undefined for failures. */
  readonly proposal?: unknown;
  /** When the chain decides by itself (ISO 8601); undefined when it waits for ever. */
  readonly deadline?: string;
}

/** What somebody has decided about a hold. */
export interface DecisionStatus extends SettledDecision {
  readonly hold: string;
}

/** What `status` reports; `holds` are the open ones. */
export interface ChainStatus {
  readonly id: string;
  readonly chain: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly key: string | null;
  readonly state: ChainState;
  /** When it starts (ISO 8601), of a chain that is queued for later; null for any other. */
  readonly startsAt: string | null;
  /** What the chain as a whole waits for before it begins or goes on, for people; null when it does not. */
  readonly waitsFor: string | null;
  readonly steps: readonly StepStatus[];
  readonly holds: readonly HoldStatus[];
  /** About holds that are open no more, oldest first. */
  readonly decisions: readonly DecisionStatus[];
  /** Micro-dollars of all attempts whose model has a known price; null when none has. */
  readonly costMicroUsd: number | null;
  /** Null until the chain has completed. */
  readonly output: unknown;
  /** Why it failed, is stuck or was cancelled; null otherwise. */
  readonly message: string | null;
}
