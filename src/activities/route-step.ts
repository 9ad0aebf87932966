import type { PlannedCall, StepPlan } from '../contracts/activities.js';
import { HoldfastError } from '../contracts/errors.js';
import type { Lane } from '../contracts/lanes.js';
import { type Priority, priorityKeyOf } from '../contracts/priority.js';
import { accountGroup, lowTaskQueue, modelTaskQueue } from '../contracts/queues.js';
import type { AnyStep, StepRegistry } from '../contracts/steps.js';

/** Default of a step's `maxTokens`. Current models think before they answer, and that counts. */
export const DEFAULT_MAX_TOKENS = 4_096;

/** What a call loses at most before and after its wait and its call: the store may be away for a while. */
const SLACK_MS = 60_000;

/**
 * A call that costs this part of a minute's quota has its tenant's own weight; one that costs twice as much has half of it.
 * Temporal's fairness counts tasks, so that weights by cost make it count what the tasks cost.
 */
const REFERENCE_COST = 1 / 60;

export interface StepRouting {
  /** Throws a HoldfastError for a model that is in none. */
  readonly quotaGroupOf: (model: string) => string;
  /** Names of the accounts beside the main one. Default: none. */
  readonly accounts?: readonly string[];
  /** Whether a part of a group's quota is reserved for work of class `low`. */
  readonly hasLowShare: (quotaGroup: string) => boolean;
  /** What a call is expected to take of its group: the largest part of any of its limits, in minutes. */
  readonly costOf: (call: PlannedCall, step: AnyStep) => number;
  /** A model activity that shows no sign of life for so long, in milliseconds, is given to another worker. */
  readonly heartbeatTimeoutMs: number;
  /** Default of a step's `timeoutMs`. */
  readonly callTimeoutMs: number;
  /** The longest time a call waits for quota inside its activity, in milliseconds. */
  readonly quotaWaitMs: number;
}

export function laneOf(step: AnyStep): Lane {
  return step.lane ?? 'fast';
}

/** Decides where a call goes and under which limits; a hold when no worker could make it. */
export function planCall(
  call: PlannedCall,
  chain: { readonly tenant: string; readonly weight: number; readonly priority: Priority },
  steps: StepRegistry,
  routing: StepRouting,
): StepPlan {
  const step = Object.hasOwn(steps, call.step) ? steps[call.step] : undefined;
  if (step === undefined) {
    const known = Object.keys(steps).sort().join(', ');
    return {
      kind: 'hold',
      reason: 'unsupported_step',
      message: `No step ${call.step} is registered; known: ${known}.`,
    };
  }
  const priority = call.priority ?? chain.priority;
  const callMs = step.timeoutMs ?? routing.callTimeoutMs;
  const group = groupOf(step, routing);
  if (typeof group !== 'string') return { kind: 'hold', reason: 'unsupported_step', message: group.message };
  const queueOf = priority === 'low' && routing.hasLowShare(group) ? lowTaskQueue : modelTaskQueue;
  return {
    kind: 'call',
    taskQueue: queueOf(group, laneOf(step)),
    // A wait and a call, twice: a call and its repair run in one activity.
    startToCloseMs: 2 * (routing.quotaWaitMs + SLACK_MS + callMs),
    heartbeatMs: routing.heartbeatTimeoutMs,
    priorityKey: priorityKeyOf(priority, call.begun ?? false),
    fairnessKey: chain.tenant,
    // Temporal's own bounds.
    fairnessWeight: Math.min(1_000, Math.max(0.001, (chain.weight * REFERENCE_COST) / routing.costOf(call, step))),
    summary: `${call.step} ${call.call}: ${step.model}, ${priority}`,
  };
}

/** The quota group of a step, for the record; its model's name where that is in none. */
export function groupNameOf(step: AnyStep, routing: StepRouting): string {
  const group = groupOf(step, routing);
  return typeof group === 'string' ? group : step.model;
}

/** The quota group of a step, or why it has none: workers of Holdfast do not start then, but others may plan, too. */
function groupOf({ model, account }: AnyStep, { quotaGroupOf, accounts = [] }: StepRouting): string | HoldfastError {
  if (account !== undefined && !accounts.includes(account)) {
    const message = `The workers have no account ${JSON.stringify(account)}; known: ${accounts.join(', ') || 'none'}.`;
    return new HoldfastError('BAD_CONFIGURATION', message, 'Name it under model.accounts, or use another one.');
  }
  try {
    return accountGroup(quotaGroupOf(model), account);
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
}
