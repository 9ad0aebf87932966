/** The three classes of work. `high` is served first; a chain has one, a step may override it. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];
export const DEFAULT_PRIORITY: Priority = 'normal';

/**
 * Temporal's priority key of a call, 1 (first) to 5. Within a class the chains that have finished a step come before those
 * that have not: what has been begun is finished first. Otherwise all chains of a long backlog would end together at its
 * end.
 */
export function priorityKeyOf(priority: Priority, begun: boolean): number {
  if (priority === 'high') return 1;
  if (priority === 'normal') return begun ? 2 : 3;
  return begun ? 4 : 5;
}

export function isPriority(value: unknown): value is Priority {
  return PRIORITIES.includes(value as Priority);
}
