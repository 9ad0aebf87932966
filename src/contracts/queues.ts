import type { Lane } from './lanes.js';

/** Workflow tasks and the engine's own activities (plan, holds, closing). */
export const ENGINE_TASK_QUEUE = 'holdfast';

/** A quota group that each worker serves, for models that need no limits of their own. */
export const DEFAULT_QUOTA_GROUP = 'default';

/** The quota group of calls through another account: what it allows has nothing to do with the main one. */
export function accountGroup(quotaGroup: string, account: string | undefined): string {
  return account === undefined ? quotaGroup : `${quotaGroup}@${account}`;
}

/** Model calls of one (quota group, lane). One queue per group, because a slot supplier sees the queue, not the task. */
export function modelTaskQueue(quotaGroup: string, lane: Lane): string {
  return `holdfast.${quotaGroup}.${lane}`;
}

/**
 * Calls of class `low` where a part of the quota is reserved for them. A queue of their own, because Temporal gives out
 * nothing of a lower priority while there is something of a higher one, so that they would never reach the quota.
 */
export function lowTaskQueue(quotaGroup: string, lane: Lane): string {
  return `${modelTaskQueue(quotaGroup, lane)}.low`;
}
