import type { Lane } from './lanes.js';
import type { Priority } from './priority.js';
import type { AnyReason } from './reasons.js';

/** Why a person must decide: a step cannot go on (`failure`, a dead letter), or a chain asked for a yes (`approval`). */
export type HoldKind = 'failure' | 'approval';

/**
 * What a person can decide about a hold. `cancel` ends the whole chain, by Temporal's own cancellation, which whoever holds
 * the store asks for: the workflow takes no such decision itself.
 */
export type HoldVerdict = 'retry' | 'resolve' | 'skip' | 'cancel' | 'approve' | 'reject';

/** What the verdicts of a hold depend on. */
export interface DecidableHold {
  readonly kind: HoldKind;
  /** Whether the chain can go on without the step. */
  readonly skippable?: boolean;
}

/** The verdicts that a hold can be given. */
export function verdictsOf({ kind, skippable }: DecidableHold): readonly HoldVerdict[] {
  if (kind === 'approval') return ['approve', 'reject'];
  return skippable ? ['retry', 'resolve', 'skip', 'cancel'] : ['retry', 'resolve', 'cancel'];
}

export interface HoldDecision {
  readonly verdict: HoldVerdict;
  /** Who decided: a name, an address, a program. {@link DEADLINE} when nobody did in time. */
  readonly by: string;
  /** Why, in words. Needed where the decision takes the place of the model or of the chain's author. */
  readonly note?: string;
  /**
   * With `approve`: what is approved in place of the proposal. With `retry`: a {@link StepEdit}, a stored revision of the
   * call. With `resolve`: the result of the step.
   */
  readonly edit?: unknown;
}

/** Changes to one call of a step; what is not stated stays. Later ones of the same call add to earlier ones. */
export interface StepEdit {
  /** In place of the step's input. */
  readonly input?: unknown;
  /** In place of the text that the step's prompt function makes of the input. */
  readonly prompt?: string;
  readonly system?: string;
  readonly model?: string;
  /** Name of a configured account; null is the main one. */
  readonly account?: string | null;
  readonly maxTokens?: number;
  readonly lane?: Lane;
  readonly priority?: Priority;
  /** So many of the oldest turns of the conversation are left out. */
  readonly dropTurns?: number;
  /** In place of the whole conversation before this call. */
  readonly summary?: string;
}

/** How long the name of who decides may be, and the reason, in characters: both are shown to people. */
export const MAX_NAME_CHARS = 200;
export const MAX_NOTE_CHARS = 10_000;

/** Who decides an approval when its deadline passes; nobody else may go by this name. */
export const DEADLINE = 'deadline';

/**
 * What is wrong with a decision about a hold, as a sentence; undefined when it can be given. Looks at everything, because
 * an update or a signal may bring anything.
 */
export function flawOf(hold: { readonly id: string } & DecidableHold, decision: HoldDecision): string | undefined {
  const { verdict, by, note, edit } = decision;
  const allowed = verdictsOf(hold);
  if (!allowed.includes(verdict)) {
    return `Hold ${hold.id} is ${kindOf(hold, verdict)} and takes ${allowed.join(' or ')}, not ${JSON.stringify(verdict)}.`;
  }
  if (typeof by !== 'string' || by === '') return 'A decision says who decided, in `by`.';
  if (by === DEADLINE) return `${JSON.stringify(DEADLINE)} is who decides when nobody does; decide under another name.`;
  if (note !== undefined && typeof note !== 'string') return 'The note of a decision is a text.';
  const isFinal = verdict === 'resolve' || verdict === 'skip' || verdict === 'cancel';
  const takesReason = isFinal || (verdict === 'retry' && edit !== undefined);
  if (takesReason && (note === undefined || note.trim() === '')) {
    return `To ${verdict === 'retry' ? 'retry with an edit' : verdict} needs a reason, in \`note\`.`;
  }
  if (verdict === 'resolve') return edit === undefined ? 'To resolve a step needs its result, in `edit`.' : undefined;
  return edit !== undefined && verdict !== 'approve' && verdict !== 'retry'
    ? `An edit goes with approve, retry or resolve, not with ${verdict}.`
    : undefined;
}

/** What a hold is, for people who wanted to give it a verdict. */
export function kindOf({ kind, skippable }: DecidableHold, verdict: unknown): string {
  if (kind === 'approval') return 'an approval';
  return verdict === 'skip' && !skippable ? 'a failure that cannot be skipped' : 'a failure';
}

/** A decision that stands, with its time (ISO 8601). */
export interface SettledDecision extends HoldDecision {
  readonly at: string;
}

/** What the workflow hands to the store when it parks. */
export interface HoldRequest {
  readonly holdId: string;
  readonly kind: HoldKind;
  readonly reason: AnyReason;
  /** The step that failed; of an approval its category. */
  readonly step: string;
  readonly call: number;
  readonly message: string;
  /** Of a failure: the step's input, and the conversation that it continues. */
  readonly input?: unknown;
  readonly continues?: string;
  /** Whether the chain can go on without the step. */
  readonly skippable?: boolean;
  /** What is to be approved. */
  readonly proposal?: unknown;
  /** When it is decided without a person (ISO 8601), and how. */
  readonly deadline?: string;
  readonly onTimeout?: HoldVerdict;
}

/** The answer to a decision: the one that counts, and whether it is the caller's. */
export interface HoldOutcome {
  readonly accepted: boolean;
  readonly decision: SettledDecision;
}

/**
 * The id of a hold within its chain: `summarize-1` for the first call of `summarize`, `summarize-1-2` when the same call
 * is held again after a retry. The number is that of the call in the order of the code, not of the failures, so that a
 * reset in Temporal's UI, after which parallel steps may fail in another order, finds the decisions that were made before.
 */
export function holdIdOf(step: string, call: number, round: number): string {
  return round === 0 ? `${step}-${call}` : `${step}-${call}-${round + 1}`;
}

/**
 * The id of an approval: its category and the beginning of its proposal's hash (hex), so that a decision never counts for
 * another proposal than the one that was shown; `occurrence` tells identical ones apart.
 */
export function approvalIdOf(category: string, proposalHash: string, occurrence: number): string {
  return `${category}-${proposalHash.slice(0, 8)}${occurrence === 0 ? '' : `-${occurrence + 1}`}`;
}
