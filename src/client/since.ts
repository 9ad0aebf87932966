import { HoldfastError } from '../contracts/errors.js';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(?<count>\d+)(?<unit>[smhd])$/;
const ISO_TIME = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/** A point in time: ISO 8601, or how long ago (`30s`, `10m`, `2h`, `7d`). Throws `INVALID_INPUT` for anything else. */
export function parseSince(since: string, also = ''): Date {
  const { count, unit } = DURATION.exec(since)?.groups ?? {};
  const ms =
    unit === undefined
      ? Date.parse(ISO_TIME.test(since) ? since : '')
      : Date.now() - Number(count) * (UNIT_MS[unit] ?? 0);
  const time = new Date(ms);
  // PostgreSQL's times begin later than JavaScript's.
  if (!Number.isNaN(time.getTime()) && time.getUTCFullYear() >= 0) return time;
  throw new HoldfastError(
    'INVALID_INPUT',
    `${JSON.stringify(since)} is no point in time.`,
    `Use a time such as 2026-11-21T08:00:00Z, or how long ago: 30s, 10m, 2h, 7d${also}.`,
  );
}
