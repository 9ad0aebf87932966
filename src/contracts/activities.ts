import type { ClosedState } from './chains.js';
import type { HoldDecision, HoldOutcome, HoldRequest, SettledDecision } from './holds.js';
import type { Priority } from './priority.js';
import type { AnyReason, ReasonCode } from './reasons.js';
import type { ScheduleMemo } from './schedules.js';
import type { StepCallId, StepResult } from './steps.js';

/** The chain on whose behalf an activity works; its id is the id of the workflow that called. */
export interface ChainRef {
  /** Type of the chain, for the row of one that was started without intake. */
  readonly chain: string;
  /** The first run of the chain: it survives resets and `continueAsNew`, so the journal goes by it. */
  readonly firstRunId: string;
  /** The chain that started this one as a child: tenant and priority are inherited from it. */
  readonly parentId?: string;
}

/** One call of a step, as the workflow asks for it. */
export interface StepCall extends StepCallId, ChainRef {
  /** The how-manieth call of this step in the chain, from 1: for people; the journal does not use it. */
  readonly call: number;
  readonly input: unknown;
  /** Characters of the input as JSON, by which its cost is estimated. Absent in calls of version 0.2.0. */
  readonly inputLength?: number;
  /** Address of the last turn of the conversation to go on with. */
  readonly continues?: string;
  readonly priority?: Priority;
  /** How often a person has sent this call on its way again. Retries are counted afresh in each round. */
  readonly round: number;
  /** Whether the chain has finished a step before: what has been begun is finished before something new begins. */
  readonly begun?: boolean;
  /** How many of the decisions about it came with an edit. Absent in calls of version 0.2.0: none. */
  readonly revision?: number;
  /** The hold at which a person gave its result. */
  readonly resolvedAt?: string;
}

/** A call as it is planned: what it says does not matter, and may be large. */
export interface PlannedCall extends Omit<StepCall, 'input'> {
  /** The input, where a plan has asked for it. */
  readonly given?: { readonly input: unknown };
}

/** What the sandbox cannot know: where the call goes and under which limits, or that it has been made already. */
export type StepPlan = {
  /** Whose work the chain is. Absent in histories of version 0.1.0. */
  readonly tenant?: string;
} & (
  | { readonly kind: 'reuse'; readonly result: StepResult<unknown> }
  | {
      readonly kind: 'call';
      readonly taskQueue: string;
      readonly startToCloseMs: number;
      readonly heartbeatMs: number;
      readonly priorityKey: number;
      readonly fairnessKey: string;
      readonly fairnessWeight: number;
      readonly summary: string;
      /** It has scopes, which its activity gives back; when it is cancelled before, the chain does. */
      readonly scoped?: true;
    }
  | { readonly kind: 'hold'; readonly reason: ReasonCode; readonly message: string }
  /** Something that may last (a pause, a scope) is in the way: the chain waits for the wake signal and plans again. */
  | { readonly kind: 'parked'; readonly cause: string; readonly scoped?: true }
  /** The chain has scopes of its own and has not taken them, or has lent them: it takes them and plans again. */
  | { readonly kind: 'claim' }
  /** Its scopes depend on its input, which is planned without it: it is planned again with it. */
  | { readonly kind: 'input' }
);

export interface CloseChainInput extends ChainRef {
  readonly state: ClosedState;
  readonly output?: unknown;
  readonly message?: string;
}

/** A chain that a schedule has started, as its workflow knows it. */
export interface BeginScheduledInput extends ChainRef, ScheduleMemo {
  /** The time for which it was scheduled (ISO 8601). */
  readonly scheduledAt: string;
  readonly input: unknown;
}

/** What became of a chain's claim to its scopes. */
export interface ChainScopesClaim {
  readonly admitted: boolean;
  readonly releaseOnHold: boolean;
  /** What it waits for, for people. */
  readonly cause?: string;
}

/** The engine's own activities: short, idempotent, on PostgreSQL only. Run as local activities where possible. */
export interface EngineActivities {
  holdfastPlanStep(call: PlannedCall): Promise<StepPlan>;
  /** What intake does for others; comes before anything else of a chain that a schedule has started. */
  holdfastBeginScheduled(chain: BeginScheduledInput): Promise<void>;
  holdfastOpenHold(hold: HoldRequest & ChainRef): Promise<SettledDecision | null>;
  /** `decisionId` is this decision's own: when the answer was lost, the same decision is given it once more. */
  holdfastDecideHold(
    input: ChainRef & { holdId: string; decision: HoldDecision; decisionId: string },
  ): Promise<HoldOutcome>;
  holdfastReadHold(input: ChainRef & { holdId: string }): Promise<SettledDecision | null>;
  holdfastCloseChain(input: CloseChainInput): Promise<void>;
  /** Takes the chain's scopes, or finds its place in line for them. */
  holdfastClaimScopes(input: ChainRef & { input?: unknown }): Promise<ChainScopesClaim>;
  /** Gives back the scopes of a call, or without one those of the chain as a whole. */
  holdfastReleaseScopes(input: ChainRef & { call?: StepCallId }): Promise<void>;
}

/** The model activity, on the task queue of its quota group and lane. */
export interface ModelActivities {
  holdfastCallModel(call: StepCall): Promise<StepResult<unknown>>;
}

/** Details of the failure of a model activity that no retry will mend; the workflow makes a hold of it. */
export interface StepFailureDetails {
  readonly reason: AnyReason;
  readonly message: string;
}

/** `type` of the ApplicationFailure by which a model activity gives a call back that is to wait outside of every queue. */
export const PARKED = 'HoldfastParked';

/** `type` of the ApplicationFailure that carries {@link StepFailureDetails}. */
export const STEP_FAILURE = 'HoldfastStepFailure';
