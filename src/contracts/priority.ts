/** The three classes of work. `high` is served first; a chain has one, a step may override it. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];
export const DEFAULT_PRIORITY: Priority = 'normal';

/**
 * Temporal's priority key of a class. Temporal knows 1 (first) to 5, with 3 as its default: 2 and 4 stay free so that
 * work which bypasses Holdfast can be put above or below ours without touching it.
 */
export const PRIORITY_KEY: Readonly<Record<Priority, number>> = { high: 1, normal: 3, low: 5 };

/**
 * Temporal's priority key of a call. Within a class what has been begun is finished before something new begins: a chain
 * that stands half-way has cost its money, and gives nothing until its last step.
 */
export function priorityKeyOf(priority: Priority, begun: boolean): number {
  if (priority === 'high') return 1;
  if (priority === 'normal') return begun ? 2 : 3;
  return begun ? 4 : 5;
}

export function isPriority(value: unknown): value is Priority {
  return PRIORITIES.includes(value as Priority);
}
