/** A lane separates quick calls from long ones, so that the long ones cannot block the quick ones. */
export const LANES = ['fast', 'heavy'] as const;
export type Lane = (typeof LANES)[number];

export interface LanePolicy {
  /** Calls after the first one that a step may make for transient failures: n retries are n + 1 calls. */
  readonly retries: number;
  /** Delay before the first retry, in milliseconds; it doubles with each further one. */
  readonly initialDelayMs: number;
  /** How many calls of this lane one worker process runs at once, per quota group: a protection of its memory. */
  readonly concurrency: number;
}

/** No retry waits longer than this, in milliseconds, unless the provider itself asked for more. */
export const MAX_RETRY_DELAY_MS = 30_000;

/** A call cut off by the death of its worker spends no retry; this many of them in one round hold the step. */
export const MAX_INTERRUPTIONS = 10;

/** Retries and first delays are those of the three-queue pattern: 3 from 1 s for quick work, 2 from 10 s for heavy. */
export const DEFAULT_LANE_POLICIES: Readonly<Record<Lane, LanePolicy>> = {
  fast: { retries: 3, initialDelayMs: 1_000, concurrency: 100 },
  heavy: { retries: 2, initialDelayMs: 10_000, concurrency: 20 },
};
