import type { Priority } from './priority.js';

/** What a schedule's memo and, but for the times, the memo of each of its chains say, under `MEMO_CHAIN`. */
export interface ScheduleMemo {
  /** Name of the schedule. */
  readonly schedule: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly title: string | null;
  /** SHA-256 of the canonical input. */
  readonly contentHash: string;
}

/** The search attribute by which Temporal tells a workflow that a schedule started for which time that was. */
export const SCHEDULED_TIME = 'TemporalScheduledStartTime';

/** The key of a chain that a schedule starts: one for each of its times. */
export function scheduledKey(schedule: string, at: Date): string {
  return `schedule ${schedule} ${at.toISOString()}`;
}
