import { z } from 'zod';
import { HoldfastError } from '../contracts/errors.js';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(?<count>\d+)(?<unit>[smhd])$/;

/** Ten years, leap days included: what is meant for later than that is a mistake in the unit. */
const MAX_AHEAD_MS = 3_653 * 86_400_000;

// Offset required: a time without one would be another moment on each machine. Refuses 31 February, as `Date` does not.
const rfc3339 = z.iso.datetime({ offset: true });

/** When a chain is to start. One of the two at most. */
export interface StartTime {
  /** RFC 3339, e.g. `2026-11-21T08:00:00Z`; not in the past, and not more than ten years ahead. */
  readonly at?: string;
  /** From now on: `10s`, `5m`, `2h` or `1d`; at most ten years. */
  readonly delay?: string;
}

/** The moment that is meant, which may have passed; undefined for at once. Throws `INVALID_INPUT`. */
export function parseStartTime({ at, delay }: StartTime): Date | undefined {
  if (at !== undefined && delay !== undefined) {
    throw invalid('A start at a time and one after a delay exclude each other.', 'Give one of at and delay.');
  }
  if (at === undefined && delay === undefined) return undefined;
  const time = at === undefined ? Date.now() + parseDuration(delay as string) : parseTime(at);
  if (time - Date.now() > MAX_AHEAD_MS) {
    throw invalid(
      `A start ${at === undefined ? `after ${delay}` : `at ${at}`} is more than ten years ahead.`,
      'Use an earlier one.',
    );
  }
  return new Date(time);
}

/** Milliseconds of `10s`, `5m`, `2h`, `1d`. Throws `INVALID_INPUT` for anything else, and for 0. */
export function parseDuration(text: string): number {
  const { count, unit } = DURATION.exec(text)?.groups ?? {};
  const ms = Number(count) * (UNIT_MS[unit ?? ''] ?? 0);
  if (ms > 0) return ms;
  throw invalid(`${JSON.stringify(text)} is no length of time.`, 'Use one such as 10s, 5m, 2h or 1d, from 1s on.');
}

/** Milliseconds of a time by RFC 3339. Throws `INVALID_INPUT`. */
export function parseTime(text: string): number {
  if (rfc3339.safeParse(text).success) return Date.parse(text);
  throw invalid(
    `${JSON.stringify(text)} is no point in time.`,
    'Use RFC 3339 with an offset, such as 2026-11-21T08:00:00Z or 2026-11-21T09:00:00+01:00.',
  );
}

/** The error for a start that has passed. */
export function startPassed(time: Date): HoldfastError {
  return invalid(`${time.toISOString()} has passed.`, 'Give a later time, or none to start at once.');
}

function invalid(message: string, remedy: string): HoldfastError {
  return new HoldfastError('INVALID_INPUT', message, remedy);
}
