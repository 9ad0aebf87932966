import type { Lane } from './lanes.js';

/** Workflow tasks and the engine's own activities (plan, holds, closing). */
export const ENGINE_TASK_QUEUE = 'holdfast';

/** The quota group of every model that the configuration puts in no other; each worker serves it. */
export const DEFAULT_QUOTA_GROUP = 'default';

/** Model calls of one (quota group, lane). One queue per group, because a slot supplier sees the queue, not the task. */
export function modelTaskQueue(quotaGroup: string, lane: Lane): string {
  return `holdfast.${quotaGroup}.${lane}`;
}
