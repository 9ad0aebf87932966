import type { HoldVerdict } from './holds.js';
import type { Turn } from './models.js';
import type { Priority } from './priority.js';
import type { DecisionStatus } from './status.js';

/** Which dead letters are meant; all that is stated must fit. */
export const DEAD_LETTER_FIELDS = [
  ...['id', 'cluster', 'reason', 'step', 'model', 'chain', 'tenant', 'assignee', 'since', 'before', 'text'],
] as const satisfies readonly (keyof DeadLetterFilter)[];

export interface DeadLetterFilter {
  /** Of one chain. */
  readonly id?: string;
  readonly cluster?: string;
  readonly reason?: string;
  readonly step?: string;
  readonly model?: string;
  /** Name of the chain, e.g. `analyzeDocument`. */
  readonly chain?: string;
  readonly tenant?: string;
  readonly assignee?: string;
  /** Held from then on, or before then: ISO 8601, or how long ago (`30s`, `10m`, `2h`, `7d`). */
  readonly since?: string;
  readonly before?: string;
  /** In the message, or in the chain's title or key. */
  readonly text?: string;
}

/** A step that cannot go on until somebody decides. */
export interface DeadLetter {
  /** Of the chain. */
  readonly id: string;
  readonly hold: string;
  readonly chain: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly key: string | null;
  readonly title: string | null;
  readonly step: string;
  /** The how-manieth call of this step in the chain, from 1. */
  readonly call: number;
  /** Null where it was held by a version that did not say. */
  readonly model: string | null;
  readonly reason: string;
  readonly message: string;
  readonly suggestedAction: string;
  readonly heldAt: string;
  readonly cluster: string;
  /** Who looks after it. */
  readonly assignee: string | null;
  /** Model calls made for this call of the step. */
  readonly attempts: number;
  /** Micro-dollars of the whole chain so far; null when no attempt has a known price. */
  readonly costMicroUsd: number | null;
}

/** One model call that was made for a dead letter. */
export interface DeadLetterAttempt {
  readonly kind: string;
  readonly state: string;
  readonly model: string;
  /** The configured account that paid; null for the main one. */
  readonly account: string | null;
  readonly reason: string | null;
  readonly message: string | null;
  /** The model's text where it could not be used. */
  readonly answer: string | null;
  /** The provider's name for the request. */
  readonly requestId: string | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costMicroUsd: number | null;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

export interface DeadLetterNote {
  readonly at: string;
  readonly by: string;
  readonly text: string;
}

/** Everything about one dead letter, whole. */
export interface DeadLetterDetails extends DeadLetter {
  /** The input of the chain as it was submitted. */
  readonly chainInput: unknown;
  /** The input of the step; null where it was held by a version that did not keep it. */
  readonly stepInput: unknown;
  /** The turns that the step goes on from, oldest first. */
  readonly conversation: readonly Turn[];
  /**
   * The entities that it is about: the scopes of its step and those that its chain had, with their keys, also when they
   * have been given back since.
   */
  readonly scopes: readonly string[];
  readonly attemptsMade: readonly DeadLetterAttempt[];
  readonly notes: readonly DeadLetterNote[];
  /** Earlier decisions about the same call of the step, which did not help. */
  readonly decisions: readonly DecisionStatus[];
  readonly verdicts: readonly HoldVerdict[];
  /** Where its history is: with Temporal's own tools, or by `holdfast history`. */
  readonly history: {
    readonly namespace: string;
    readonly workflowId: string;
    readonly firstRunId: string;
    /** The latest run of the workflow that called a model; after `continueAsNew` it is not the first. */
    readonly runId: string;
    /** Its page in Temporal's UI; null when nobody has said where that is. */
    readonly url: string | null;
  };
}

/** Dead letters of one cause: the same reason, step, model and message but for its numbers and ids. */
export interface DeadLetterCluster {
  readonly cluster: string;
  readonly reason: string;
  readonly step: string;
  readonly model: string | null;
  /** The message with `<n>`, `<id>`, `<url>` and `<mail>` in place of what differs. */
  readonly message: string;
  readonly suggestedAction: string;
  readonly count: number;
  readonly firstSeen: string;
  readonly lastSeen: string;
  readonly tenants: readonly string[];
  /** The latest one. */
  readonly sample: { readonly id: string; readonly hold: string; readonly message: string };
}
