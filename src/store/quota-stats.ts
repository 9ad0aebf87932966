import { sql } from 'kysely';
import { PRIORITIES, type Priority } from '../contracts/priority.js';
import type { Store } from './database.js';

/** Of one minute, or of what is there now. */
export interface QuotaAmounts {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Calls of a class that wait for their part of a quota. */
export interface QuotaWaiters {
  readonly priority: Priority;
  readonly calls: number;
  readonly oldestSeconds: number;
}

export interface QuotaState {
  readonly group: string;
  /** Of a minute, as configured or as the provider's headers have corrected it. */
  readonly limits: QuotaAmounts;
  /** What could be taken now; below 0 when more was used than was reserved. */
  readonly level: QuotaAmounts;
  /** What calls hold that have been admitted and have not ended. */
  readonly reserved: QuotaAmounts;
  /** Calls that the provider has refused with 429, ever. */
  readonly refused: number;
  /** When it opens again (ISO 8601), while it is closed by a 429; null for open. */
  readonly closedUntil: string | null;
  readonly waiting: readonly QuotaWaiters[];
}

/** The quota groups as they stand now, by name. Takes no lock. */
export async function readQuotas({ db }: Store): Promise<QuotaState[]> {
  const groups = await sql<
    Record<`${'requests' | 'input' | 'output'}_${'limit' | 'level' | 'reserved'}`, number> & {
      name: string;
      refused: number;
      closed_until: Date | null;
    }
  >`
    SELECT g.name, g.refused,
      CASE WHEN g.closed_until > clock_timestamp() THEN g.closed_until END AS closed_until,
      g.requests_per_minute AS requests_limit, g.input_per_minute AS input_limit, g.output_per_minute AS output_limit,
      least(greatest(1, g.requests_per_minute * quota_burst(g)), g.requests_level + minutes * g.requests_per_minute)
        AS requests_level,
      least(g.input_per_minute * quota_burst(g), g.input_level + minutes * g.input_per_minute) AS input_level,
      least(g.output_per_minute * quota_burst(g), g.output_level + minutes * g.output_per_minute) AS output_level,
      reserved.requests AS requests_reserved, reserved.input AS input_reserved, reserved.output AS output_reserved
    FROM quota_group g,
      LATERAL (SELECT greatest(0, extract(epoch FROM clock_timestamp() - g.refilled_at))::float8 / 60 AS minutes) passed,
      LATERAL (SELECT count(*) AS requests, coalesce(sum(input), 0) AS input, coalesce(sum(output), 0) AS output
        FROM quota_claim WHERE quota_group = g.name AND admitted_at IS NOT NULL) reserved
    ORDER BY g.name`.execute(db);
  const waiters = await sql<{ quota_group: string; rank: number; calls: number; oldest: number }>`
    SELECT quota_group, rank, count(*) AS calls,
      extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest
    FROM quota_claim WHERE admitted_at IS NULL GROUP BY quota_group, rank ORDER BY quota_group, rank`.execute(db);
  return groups.rows.map((row) => {
    const amounts = (of: 'limit' | 'level' | 'reserved'): QuotaAmounts => ({
      requests: row[`requests_${of}`],
      inputTokens: row[`input_${of}`],
      outputTokens: row[`output_${of}`],
    });
    return {
      group: row.name,
      limits: amounts('limit'),
      level: amounts('level'),
      reserved: amounts('reserved'),
      refused: row.refused,
      closedUntil: row.closed_until?.toISOString() ?? null,
      waiting: waiters.rows
        .filter(({ quota_group }) => quota_group === row.name)
        .map(({ rank, calls, oldest }) => ({
          priority: PRIORITIES[rank] as Priority,
          calls,
          oldestSeconds: Math.max(0, oldest),
        })),
    };
  });
}

/** Names of the quota groups that workers have served. */
export async function listQuotaGroups({ db }: Store): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`SELECT name FROM quota_group ORDER BY name`.execute(db);
  return rows.map(({ name }) => name);
}
