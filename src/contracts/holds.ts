import type { ReasonCode } from './reasons.js';

/** Why a person must decide: a step cannot go on (`failure`, a dead letter), or a chain asked for a yes (`approval`). */
export type HoldKind = 'failure' | 'approval';

/** What a person can decide about a hold. Cancelling a chain is Temporal's own cancellation and needs no decision. */
export type HoldVerdict = 'retry' | 'approve' | 'reject';

const VERDICTS: Readonly<Record<HoldKind, readonly HoldVerdict[]>> = {
  failure: ['retry'],
  approval: ['approve', 'reject'],
};

/** The verdicts that a hold of this kind can be given. */
export function verdictsOf(kind: HoldKind): readonly HoldVerdict[] {
  return VERDICTS[kind];
}

export interface HoldDecision {
  readonly verdict: HoldVerdict;
  /** Who decided: a name, an address, a program. {@link DEADLINE} when nobody did in time. */
  readonly by: string;
  /** Why, in words. */
  readonly note?: string;
  /** With `approve`: what is approved in place of the proposal. */
  readonly edit?: unknown;
}

/** Who decides an approval when its deadline passes; nobody else may go by this name. */
export const DEADLINE = 'deadline';

/**
 * What is wrong with a decision about a hold, as a sentence; undefined when it can be given. Looks at everything, because
 * an update or a signal may bring anything.
 */
export function flawOf(
  hold: { readonly id: string; readonly kind: HoldKind },
  decision: HoldDecision,
): string | undefined {
  const { verdict, by, note, edit } = decision;
  const allowed = verdictsOf(hold.kind);
  if (!allowed.includes(verdict)) {
    const kind = hold.kind === 'approval' ? 'an approval' : 'a failure';
    return `Hold ${hold.id} is ${kind} and takes ${allowed.join(' or ')}, not ${JSON.stringify(verdict)}.`;
  }
  if (typeof by !== 'string' || by === '') return 'A decision says who decided, in `by`.';
  if (by === DEADLINE) return `${JSON.stringify(DEADLINE)} is who decides when nobody does; decide under another name.`;
  if (note !== undefined && typeof note !== 'string') return 'The note of a decision is a text.';
  return edit !== undefined && verdict !== 'approve' ? `An edit goes with approve, not with ${verdict}.` : undefined;
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
  /** The step that failed; of an approval its category. */
  readonly step: string;
  readonly call: number;
  readonly message: string;
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
