import type { ClosedState } from './chains.js';
import type { HoldDecision, HoldOutcome, HoldRequest, SettledDecision } from './holds.js';
import type { Priority } from './priority.js';
import type { ReasonCode } from './reasons.js';
import type { StepCallId, StepResult } from './steps.js';

/** One call of a step, as the workflow asks for it. */
export interface StepCall extends StepCallId {
  /** The how-manieth call of this step in the chain, from 1: for people; the journal does not use it. */
  readonly call: number;
  readonly input: unknown;
  /** Address of the last turn of the conversation to go on with. */
  readonly continues?: string;
  readonly priority?: Priority;
  /** How often a person has sent this call on its way again. Retries are counted afresh in each round. */
  readonly round: number;
}

/** What the sandbox cannot know: where the call goes and under which limits, or that it has been made already. */
export type StepPlan =
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
    }
  | { readonly kind: 'hold'; readonly reason: ReasonCode; readonly message: string };

export interface CloseChainInput {
  readonly state: ClosedState;
  readonly output?: unknown;
  readonly message?: string;
}

/** The engine's own activities: short, idempotent, on PostgreSQL only. Run as local activities where possible. */
export interface EngineActivities {
  holdfastPlanStep(call: StepCall): Promise<StepPlan>;
  holdfastOpenHold(hold: HoldRequest): Promise<SettledDecision | null>;
  holdfastDecideHold(input: { holdId: string; decision: HoldDecision }): Promise<HoldOutcome>;
  holdfastReadHold(input: { holdId: string }): Promise<SettledDecision | null>;
  holdfastCloseChain(input: CloseChainInput): Promise<void>;
}

/** The model activity, on the task queue of its quota group and lane. */
export interface ModelActivities {
  holdfastCallModel(call: StepCall): Promise<StepResult<unknown>>;
}

/** Details of the failure of a model activity that no retry will mend; the workflow makes a hold of it. */
export interface StepFailureDetails {
  readonly reason: ReasonCode;
  readonly message: string;
}

/** `type` of the ApplicationFailure that carries {@link StepFailureDetails}. */
export const STEP_FAILURE = 'HoldfastStepFailure';
