import { sql } from 'kysely';
import { PRIORITIES, type Priority } from '../contracts/priority.js';
import type { ScopeKey } from '../contracts/scopes.js';
import type { Store } from './database.js';
import { SCOPE_LOCK } from './migrations/0009-scopes.js';

/** Who claims scopes, and as what. */
export interface ScopeClaim {
  readonly chainId: string;
  /** What this chain's parent has is not asked for again. */
  readonly parentId?: string;
  /** Which call of a step; absent for the chain as a whole. */
  readonly call?: { readonly id: string; readonly step: string; readonly number: number };
  readonly priority: Priority;
  readonly keys: readonly ScopeKey[];
}

/** Names a claim. */
export type ScopeClaimId = Pick<ScopeClaim, 'chainId'> & { readonly call?: { readonly id: string } };

type Queries = Pick<Store, 'db'>;

/**
 * Stands in line for all of the keys, by class and then by the chain's arrival, and takes them together as soon as there
 * is room for all and nobody is before it in any of their lines. Returns whether it has them. Claiming again finds the
 * claim. `asked`: the chain learns of it now; by a `worker` that takes it up, the permit comes back with its death.
 */
export async function claimScopes(
  { db }: Queries,
  claim: ScopeClaim,
  { asked, worker }: { readonly asked: boolean; readonly worker?: number } = { asked: true },
): Promise<boolean> {
  const { chainId, parentId = null, call, priority, keys } = claim;
  const { rows } = await sql<{ admitted: boolean }>`
    SELECT holdfast_claim_scopes(${chainId}, ${parentId}, ${call?.id ?? ''}, ${call?.step ?? null}::text,
      ${call?.number ?? null}::integer, ${PRIORITIES.indexOf(priority)}::smallint, ${JSON.stringify(keys)}::jsonb,
      ${worker ?? null}::integer, ${asked}) AS admitted`.execute(db);
  return rows[0]!.admitted;
}

/**
 * Gives back what a claim has, or leaves the line; without `call` only the claim of the chain as a whole. With `worker`
 * only if that one has taken it up. Whoever can go in now is let in.
 */
export async function releaseScopes(
  { db }: Queries,
  { chainId, call }: ScopeClaimId,
  { worker }: { readonly worker?: number } = {},
): Promise<void> {
  await giveBack(db, (query) => {
    const mine = query.where('chain_id', '=', chainId).where('call', '=', call?.id ?? '');
    return worker === undefined ? mine : mine.where('worker', '=', worker);
  });
}

/** Gives back all that a chain has or waits for. Part of the transaction that closes it. */
export async function releaseChainScopes(db: Store['db'], chainId: string): Promise<void> {
  await giveBack(db, (query) => query.where('chain_id', '=', chainId));
}

function claims(db: Store['db']) {
  return db.selectFrom('scope_claim').select('id');
}

async function giveBack(
  db: Store['db'],
  which: (query: ReturnType<typeof claims>) => ReturnType<typeof claims>,
): Promise<number> {
  // Most chains have no scopes, and are not to wait for the lock.
  if ((await which(claims(db)).limit(1).executeTakeFirst()) === undefined) return 0;
  const found = which(claims(db)).compile();
  // The lock comes with a statement of its own: one that waits for it would not see what the one before it wrote.
  const run = async (trx: Store['db']): Promise<number> => {
    await sql`SELECT pg_advisory_xact_lock(${sql.lit(SCOPE_LOCK)})`.execute(trx);
    const rows = (await trx.executeQuery<{ id: number }>(found)).rows;
    await sql`SELECT holdfast_give_back_scopes(${rows.map(({ id }) => id)}::bigint[])`.execute(trx);
    return rows.length;
  };
  return db.isTransaction ? run(db) : db.transaction().execute(run);
}

/** Whether a chain has its own scopes now. */
export async function hasChainScopes({ db }: Queries, chainId: string): Promise<boolean> {
  const found = await claims(db)
    .where('chain_id', '=', chainId)
    .where('call', '=', '')
    .where('state', '=', 'admitted')
    .executeTakeFirst();
  return found !== undefined;
}

/** What a claim waits for, in words. */
export interface ScopeWait {
  /** Null for the chain as a whole. */
  readonly step: string | null;
  readonly call: number | null;
  readonly cause: string;
}

/** What a chain's claims wait for: of each the scope with most before it. */
export async function listScopeWaits({ db }: Queries, chainId: string): Promise<ScopeWait[]> {
  const { rows } = await sql<{
    id: number;
    step: string | null;
    call_number: number | null;
    label: string;
    at_once: number | null;
    rate_count: number | null;
    rate_ms: number | null;
    used: number;
    before: number;
  }>`
    SELECT DISTINCT ON (id) * FROM (
      SELECT c.id, c.step, c.call_number, k.label, k.at_once, k.rate_count, k.rate_ms,
        CASE WHEN k.at_once IS NULL
          THEN (SELECT count(*) FROM scope_admission a WHERE a.key = k.key
            AND a.admitted_at > clock_timestamp() - make_interval(secs => k.rate_ms / 1000.0))
          ELSE (SELECT count(*) FROM scope_claim_key held WHERE held.key = k.key AND held.state = 'admitted')
        END AS used,
        (SELECT count(*) FROM scope_claim_key line WHERE line.key = k.key AND line.state = 'waiting'
          AND (line.rank, line.arrival, line.claim_id) < (k.rank, k.arrival, k.claim_id)) AS before
      FROM scope_claim c JOIN scope_claim_key k ON k.claim_id = c.id
      WHERE c.chain_id = ${chainId} AND c.state = 'waiting'
    ) waits ORDER BY id, used >= coalesce(at_once, rate_count) DESC, before DESC`.execute(db);
  return rows.map((row) => {
    const most = row.at_once ?? row.rate_count;
    const use =
      row.at_once === null
        ? `${row.used} of ${most} in ${(row.rate_ms ?? 0) / 1000} s`
        : `${row.used} of ${most} in use`;
    return {
      step: row.step,
      call: row.call_number,
      cause: `scope ${row.label}: ${use}, ${row.before} before it`,
    };
  });
}

/** How long a dead worker's permit is left for its call's own retry, in seconds; with the sweeps it is back within 15 s. */
const RETAKE_S = 8;
/** How long a step that was let in may stay silent, in seconds, before others go on. */
const SILENT_S = 60;

/**
 * Gives back the permits of workers that are gone, of chains that have ended, and of steps whose chain does not answer;
 * lets in whom time has made room for. Returns how many permits came back.
 */
export async function sweepScopes({ db }: Queries, liveWorkers: readonly number[]): Promise<number> {
  if ((await claims(db).limit(1).executeTakeFirst()) === undefined) return 0;
  await sql`
    UPDATE scope_claim SET worker_lost_at = CASE WHEN worker = ANY(${liveWorkers}) THEN NULL ELSE clock_timestamp() END
    WHERE worker IS NOT NULL AND (worker_lost_at IS NULL) <> (worker = ANY(${liveWorkers}))`.execute(db);
  const lost = await giveBack(db, (query) =>
    query.where((eb) =>
      eb.or([
        eb('worker_lost_at', '<', ago(RETAKE_S)),
        eb.exists(
          eb
            .selectFrom('chain')
            .select('chain.id')
            .whereRef('chain.id', '=', 'scope_claim.chain_id')
            .where('chain.closed_at', 'is not', null),
        ),
      ]),
    ),
  );
  const silent = await db.transaction().execute(async (trx) => {
    await sql`SELECT pg_advisory_xact_lock(${sql.lit(SCOPE_LOCK)})`.execute(trx);
    const lapsed = await trx
      .updateTable('scope_claim')
      .set({ state: 'lapsed' })
      .where('call', '!=', '')
      .where('state', '=', 'admitted')
      .where('seen_at', 'is', null)
      .where('admitted_at', '<', ago(SILENT_S))
      .returning('id')
      .execute();
    const ids = lapsed.map(({ id }) => id);
    await trx
      .updateTable('scope_claim_key')
      .set({ state: 'lapsed' })
      .where('claim_id', '=', sql<number>`ANY(${ids})`)
      .execute();
    await trx.deleteFrom('scope_admission').where('until', '<', sql<Date>`clock_timestamp()`).execute();
    // Lines that could move on: a rate's time has passed, a limit was raised, a claim has lapsed.
    await sql`
      SELECT holdfast_admit_scopes(coalesce(array_agg(key), '{}')) FROM (
        SELECT key FROM scope_claim_key GROUP BY key
        HAVING bool_or(state = 'waiting') AND (bool_or(at_once IS NULL)
          OR count(*) FILTER (WHERE state = 'admitted') < max(at_once) FILTER (WHERE state = 'waiting'))
      ) lines`.execute(trx);
    return ids.length;
  });
  return lost + silent;
}

/** How long a chain may take to learn that it was let in before it is told again, in seconds; it doubles each time. */
const RESEND_S = 5;
const MAX_RESEND_S = 600;

/**
 * Chains that have been let in and do not know it, longest ago first; notes that they are told now. With `fresh` only
 * those whom nobody has told yet.
 */
export async function takeUntoldChains(
  { db }: Queries,
  namespace: string,
  limit: number,
  { fresh }: { readonly fresh: boolean },
): Promise<string[]> {
  const { rows } = await sql<{ chain_id: string }>`
    UPDATE scope_claim SET sends = sends + 1, sent_at = clock_timestamp()
    WHERE id IN (
      SELECT claim.id FROM scope_claim claim JOIN chain ON chain.id = claim.chain_id
      WHERE claim.state <> 'waiting' AND claim.seen_at IS NULL
        AND chain.closed_at IS NULL AND chain.state <> 'queued'
        AND (chain.namespace IS NULL OR chain.namespace = ${namespace})
        AND (claim.sent_at IS NULL OR (NOT ${fresh} AND claim.sent_at < clock_timestamp()
          - make_interval(secs => least(${MAX_RESEND_S}, ${RESEND_S} * power(2, least(claim.sends, 20))))))
      ORDER BY claim.admitted_at LIMIT ${limit} FOR UPDATE OF claim SKIP LOCKED
    ) RETURNING chain_id`.execute(db);
  return [...new Set(rows.map(({ chain_id }) => chain_id))];
}

function ago(seconds: number) {
  return sql<Date>`clock_timestamp() - make_interval(secs => ${seconds})`;
}
