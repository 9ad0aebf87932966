import { type LanePolicy, MAX_RETRY_DELAY_MS } from '../contracts/lanes.js';

/** By how much of itself a delay may be shortened at random. */
const JITTER = 0.25;

/**
 * How long to wait before the next attempt, in milliseconds. The lane's first delay doubles with each failure, is capped
 * at {@link MAX_RETRY_DELAY_MS} and then shortened by up to a quarter, so that calls which failed together do not come
 * back together. It is never shorter than what the provider asked for, whatever the cap.
 *
 * `failures` counts the attempts that failed so far, from 1. `random` gives a number in [0, 1).
 */
export function retryDelayMs(
  policy: Pick<LanePolicy, 'initialDelayMs'>,
  failures: number,
  retryAfterMs = 0,
  random: () => number = Math.random,
): number {
  // The exponent is bounded because 2 ** 1024 is Infinity, and 0 * Infinity is not a delay.
  const doublings = Math.min(Math.max(0, failures - 1), 30);
  const delayMs = Math.min(policy.initialDelayMs * 2 ** doublings, MAX_RETRY_DELAY_MS);
  return Math.max(Math.round(delayMs * (1 - JITTER * random())), retryAfterMs);
}
