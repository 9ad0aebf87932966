import type { PlannedCall, StepPlan } from '../contracts/activities.js';
import type { Lane } from '../contracts/lanes.js';
import { PRIORITY_KEY, type Priority } from '../contracts/priority.js';
import { modelTaskQueue } from '../contracts/queues.js';
import type { AnyStep, StepRegistry } from '../contracts/steps.js';

/** Default of a step's `maxTokens`. Current models think before they answer, and that counts. */
export const DEFAULT_MAX_TOKENS = 4_096;

/** See the quota gate: who is first in line stays until the bucket has filled, which takes a minute at most. */
const FIRST_IN_LINE_MS = 60_000;

export interface StepRouting {
  readonly quotaGroupOf: (model: string) => string;
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
  chain: { readonly tenant: string; readonly priority: Priority },
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
  return {
    kind: 'call',
    taskQueue: modelTaskQueue(routing.quotaGroupOf(step.model), laneOf(step)),
    // A wait (and a minute more for the first in line) and a call, twice: a call and its repair run in one activity.
    startToCloseMs: 2 * (routing.quotaWaitMs + FIRST_IN_LINE_MS + callMs),
    heartbeatMs: routing.heartbeatTimeoutMs,
    priorityKey: PRIORITY_KEY[priority],
    fairnessKey: chain.tenant,
    fairnessWeight: 1,
    summary: `${call.step} ${call.call}: ${step.model}, ${priority}`,
  };
}
