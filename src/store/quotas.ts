import { sql } from 'kysely';
import type { QuotaLimits, QuotaReading, QuotaUse } from '../contracts/quotas.js';
import type { Store } from './database.js';

/** A place in the line of a group. */
export interface QuotaPlace extends QuotaUse {
  readonly group: string;
  readonly chain: string;
  readonly step: string;
  readonly call: number;
  readonly worker: number;
  /** Of its class, 0 for the first one served. */
  readonly rank: number;
  /** Whether the step states its class itself: then that of its chain does not change it. */
  readonly ownPriority: boolean;
  /** Whether its chain has finished a step: within a class that comes first. */
  readonly begun: boolean;
}

export interface QuotaClaim {
  readonly id: number;
  readonly admitted: boolean;
  /** When the first waiter of the group will fit, in milliseconds; null when nobody waits. */
  readonly waitMs: number | null;
}

/**
 * Takes a place in the line of a group, and goes in at once when there is room and nobody before it. A call that is larger
 * than a minute of the group takes none; it is told the group's limits.
 */
export async function claimQuota(
  { db }: Store,
  place: QuotaPlace,
): Promise<QuotaClaim | { readonly tooLarge: QuotaUse }> {
  const { group, chain, step, call, worker, rank, ownPriority, begun, input, output } = place;
  const { rows } = await sql<{ id: number | null } & Omit<QuotaClaim, 'id'> & { tooLarge: QuotaUse }>`
    SELECT claim AS id, is_admitted AS admitted, wait_ms AS "waitMs", too_large AS "tooLarge"
    FROM quota_claim(${group}, ${chain}, ${step}, ${call}, ${worker}, ${rank}, ${ownPriority}, ${begun}, ${input}, ${output})`.execute(
    db,
  );
  const { id, admitted, waitMs, tooLarge } = rows[0]!;
  return id === null ? { tooLarge } : { id, admitted, waitMs };
}

/**
 * Lets in whoever fits, of all workers; returns which of `waiting` are in, which have no place, which are to give way to
 * work of the first class, and when to ask again.
 */
export async function pollQuota(
  { db }: Store,
  group: string,
  waiting: readonly number[],
): Promise<Record<'admitted' | 'lost' | 'givingWay', readonly number[]> & { readonly waitMs: number | null }> {
  const { rows } = await sql<
    Record<'admitted' | 'known' | 'givingWay', string[] | null> & { waitMs: number | null }
  >`SELECT admitted, known, giving_way AS "givingWay", wait_ms AS "waitMs" FROM quota_poll(${group}, ${[...waiting]}::bigint[])`.execute(
    db,
  );
  const { admitted, known, givingWay, waitMs } = rows[0]!;
  const found = new Set((known ?? []).map(Number));
  return {
    admitted: (admitted ?? []).map(Number),
    lost: waiting.filter((id) => !found.has(id)),
    givingWay: (givingWay ?? []).map(Number),
    waitMs,
  };
}

/** Ends a claim: by what the call really used, or without `used` as never made. Twice is once. */
export async function settleQuota({ db }: Store, claim: number, used?: QuotaUse): Promise<void> {
  await sql`SELECT quota_settle(${claim}, ${used?.input ?? null}, ${used?.output ?? null})`.execute(db);
}

/**
 * Takes over what the provider says while it answers a claim's call: its limits, and its levels where they are lower than
 * ours. Never higher ones: they may be old, and other programs may use the account.
 */
export async function observeQuota({ db }: Store, claim: number, reading: QuotaReading): Promise<void> {
  const { requests, inputTokens, outputTokens } = reading;
  await sql`SELECT quota_observe(${claim},
    ${requests?.limit ?? null}, ${requests?.remaining ?? null},
    ${inputTokens?.limit ?? null}, ${inputTokens?.remaining ?? null},
    ${outputTokens?.limit ?? null}, ${outputTokens?.remaining ?? null})`.execute(db);
}

/** Lets nobody in for so long, in milliseconds, and begins with empty buckets then: the provider has refused a call. */
export async function closeQuota({ db }: Store, group: string, forMs: number): Promise<void> {
  await sql`SELECT quota_close(${group}, ${forMs})`.execute(db);
}

/** Writes the configured limits of a group when they are new; otherwise what was learned from headers stays. */
export async function configureQuota({ db }: Store, group: string, limits: QuotaLimits): Promise<void> {
  const { requestsPerMinute, inputTokensPerMinute, outputTokensPerMinute, burstSeconds, lowShare } = limits;
  await sql`SELECT quota_configure(${group}, ${requestsPerMinute}, ${inputTokensPerMinute}, ${outputTokensPerMinute},
    ${burstSeconds}, ${lowShare})`.execute(db);
}

/** Puts the waiting calls of a chain into another class, except those whose step states its own. */
export async function changeQuotaRank({ db }: Store, chain: string, rank: number): Promise<void> {
  await sql`SELECT quota_reclass(${chain}, ${rank})`.execute(db);
}

/** Removes the claims of workers that are not among `live`; what was admitted to them stays taken. */
export async function dropDeadClaims({ db }: Store, live: readonly number[]): Promise<void> {
  await sql`SELECT quota_bury(${[...live]}::int[])`.execute(db);
}

/**
 * Removes claims of a living worker that are none of those that it knows, and older than so many milliseconds. What was
 * admitted to them stays taken.
 */
export async function dropStrayClaims(
  { db }: Store,
  worker: number,
  known: readonly number[],
  olderThanMs: number,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    // The groups first, always: locked the other way round this and a poll would wait for each other.
    await sql`SELECT FROM quota_group ORDER BY name FOR UPDATE`.execute(trx);
    await sql`DELETE FROM quota_claim WHERE worker = ${worker} AND id <> ALL(${[...known]}::bigint[])
      AND created_at < clock_timestamp() - ${olderThanMs} * interval '1 millisecond'`.execute(trx);
  });
}

/** What a waiting call waits for, and about how long. */
export interface QuotaOutlook {
  readonly step: string;
  readonly call: number;
  readonly group: string;
  /** The limit that keeps it waiting longest; `refused`: the provider has refused a call, and nobody is let in for now. */
  readonly limit: 'requests' | 'input' | 'output' | 'refused';
  readonly waitMs: number;
}

/** The calls of a chain that stand in line, as they would go in if nobody of a higher class came. */
export async function readQuotaOutlook({ db }: Store, chain: string): Promise<QuotaOutlook[]> {
  const { rows } = await sql<{ step: string; call: number; group: string } & Record<QuotaOutlook['limit'], number>>`
    SELECT c.step, c.call, g.name AS "group",
      greatest(0, extract(epoch FROM g.closed_until - clock_timestamp()))::float8 * 1000 AS refused,
      (ahead.requests - g.requests_level) / g.requests_per_minute * 60000 - filled.ms AS requests,
      (ahead.input - g.input_level) / g.input_per_minute * 60000 - filled.ms AS input,
      (ahead.output - g.output_level) / g.output_per_minute * 60000 - filled.ms AS output
    FROM quota_claim c JOIN quota_group g ON g.name = c.quota_group
    CROSS JOIN LATERAL (SELECT extract(epoch FROM clock_timestamp() - g.refilled_at)::float8 * 1000 AS ms) filled
    CROSS JOIN LATERAL (
      SELECT count(*)::float8 AS requests, sum(o.input) AS input, sum(o.output) AS output FROM quota_claim o
      WHERE o.quota_group = c.quota_group AND o.admitted_at IS NULL AND (o.rank, NOT o.begun, o.id) <= (c.rank, NOT c.begun, c.id)) ahead
    WHERE c.chain_id = ${chain} AND c.admitted_at IS NULL ORDER BY c.id`.execute(db);
  return rows.map(({ step, call, group, ...limits }) => {
    const [limit, waitMs] = Object.entries(limits).reduce((longest, other) =>
      other[1] > longest[1] ? other : longest,
    );
    const isClosed = limits.refused > 0;
    return {
      step,
      call,
      group,
      limit: isClosed ? 'refused' : (limit as QuotaOutlook['limit']),
      waitMs: Math.max(0, waitMs),
    };
  });
}
