import { type Kysely, type Selectable, sql } from 'kysely';
import { type Store, storable } from './database.js';
import { endCause, type ParkedCall, type ParkingCause, parkCall } from './parked.js';
import { Remembered } from './remembered.js';
import type { Database, PauseTable } from './schema.js';

export type PauseRow = Selectable<PauseTable>;

/** What a pause can be of: a kind, and the tenant, chain, lane or model; everything has none. */
export type PauseKey = Pick<PauseRow, 'kind' | 'value'>;

/** Where a call is to go; its tenant and type stand in its chain's row. */
export interface CallTarget {
  readonly lane: string;
  readonly model: string;
}

/** The cause of parking that is a pause; its id is the pause's. */
const PAUSE = 'pause';

/** A process may not know of a first pause for half a second: a call is checked exactly when it opens. */
const anyPause = new Remembered(
  async ({ db }) => (await db.selectFrom('pause').select('id').limit(1).executeTakeFirst()) !== undefined,
  500,
);

/**
 * Parks a call when a pause is in its way; returns the cause, or undefined when the call may go on. The pause cannot end
 * between the look and the row, so that its end never misses the call.
 */
export async function parkIfPaused(
  store: Store,
  call: ParkedCall,
  target: CallTarget,
): Promise<ParkingCause | undefined> {
  if (!(await anyPause.of(store))) return undefined;
  return store.db.transaction().execute(async (trx) => {
    const cause = await pauseOver(trx, call.chainId, target);
    return cause !== undefined && (await parkCall(trx, call, cause)) ? cause : undefined;
  });
}

/** The oldest pause that a call of a chain is under, as a cause; it does not end before the transaction. */
export async function pauseOver(
  db: Kysely<Database>,
  chainId: string,
  { lane, model }: CallTarget,
): Promise<ParkingCause | undefined> {
  const row = await db
    .selectFrom('pause')
    .innerJoin('chain', (join) => join.on('chain.id', '=', chainId))
    .selectAll('pause')
    .where(covers(sql`chain.tenant`, sql`chain.id`, sql`chain.type`, sql`${lane}`, sql`${model}`))
    .orderBy('pause.id')
    .limit(1)
    .forShare('pause')
    .executeTakeFirst();
  return row === undefined ? undefined : { kind: PAUSE, id: String(row.id), text: textOf(row) };
}

type Value = ReturnType<typeof sql>;

/** Whether a row of `pause` covers a call. */
function covers(tenant: Value, id: Value, type: Value, lane: Value, model: Value) {
  return sql<boolean>`CASE pause.kind WHEN 'all' THEN true WHEN 'tenant' THEN pause.value = ${tenant}
    WHEN 'chain' THEN pause.value IN (${id}, ${type}) WHEN 'lane' THEN pause.value = ${lane}
    ELSE pause.value = ${model} END`;
}

function textOf({ paused_by, paused_at, reason }: PauseRow): string {
  return `paused by ${paused_by} since ${paused_at.toISOString()}${reason === null ? '' : `: ${reason}`}`;
}

/** Writes a pause; finds the one that is there already. */
export async function insertPause(
  { db }: Store,
  key: PauseKey,
  { by, reason }: { readonly by: string; readonly reason: string | null },
): Promise<{ readonly row: PauseRow; readonly isNew: boolean }> {
  for (;;) {
    const inserted = await db
      .insertInto('pause')
      .values({ ...key, paused_by: storable(by), reason: reason === null ? null : storable(reason) })
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst();
    if (inserted !== undefined) return { row: inserted, isNew: true };
    const row = await of(db.selectFrom('pause').selectAll(), key).executeTakeFirst();
    if (row !== undefined) return { row, isNew: false };
  }
}

/** Ends a pause: the calls that it parked are due. Returns it, or undefined when there was none. */
export async function deletePause({ db }: Store, key: PauseKey): Promise<PauseRow | undefined> {
  return db.transaction().execute(async (trx) => {
    const row = await of(trx.deleteFrom('pause').returningAll(), key).executeTakeFirst();
    if (row !== undefined) await endCause(trx, PAUSE, String(row.id));
    return row;
  });
}

/** All pauses, oldest first, with the chains that each has parked and the open calls that are under it. */
export function listPauses({ db }: Store): Promise<(PauseRow & { parked_chains: number; open_calls: number })[]> {
  return db
    .selectFrom('pause')
    .selectAll()
    .select([
      sql<number>`(SELECT count(DISTINCT chain_id) FROM parked
        WHERE cause_kind = ${PAUSE} AND cause_id = pause.id::text)`.as('parked_chains'),
      sql<number>`(SELECT count(*) FROM attempt JOIN chain ON chain.id = attempt.chain_id
        WHERE attempt.state = 'open' AND ${coversAttempt()})`.as('open_calls'),
    ])
    .orderBy('id')
    .execute();
}

function coversAttempt() {
  return covers(sql`attempt.tenant`, sql`chain.id`, sql`chain.type`, sql`attempt.lane`, sql`attempt.model`);
}

/** The workers of the open calls under a pause; null for one that no worker is known of. */
export async function listOpenWorkers({ db }: Store, key: PauseKey): Promise<(number | null)[]> {
  const { rows } = await sql<{ worker: number | null }>`
    SELECT attempt.worker FROM attempt JOIN chain ON chain.id = attempt.chain_id,
      (VALUES (${key.kind}, ${key.value})) AS pause (kind, value)
    WHERE attempt.state = 'open' AND ${coversAttempt()}`.execute(db);
  return rows.map(({ worker }) => worker);
}

/** Number of a transaction of now: of those that have written something and are still open, each has a lower one. */
export async function numberNow({ db }: Store): Promise<number> {
  const { rows } = await sql<{ number: number }>`SELECT pg_current_xact_id()::text::bigint AS number`.execute(db);
  return rows[0]!.number;
}

/** Whether all transactions below a number have ended. */
export async function haveEndedBefore({ db }: Store, transaction: number): Promise<boolean> {
  const { rows } = await sql<{ ended: boolean }>`
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= ${transaction}::bigint AS ended`.execute(db);
  return rows[0]!.ended;
}

/** What there is of a kind, among chains; of a chain, its type or its id. */
export async function isKnown({ db }: Store, { kind, value }: PauseKey): Promise<boolean> {
  const query = db.selectFrom('chain').select('id').limit(1);
  const found =
    kind === 'tenant'
      ? query.where('tenant', '=', value)
      : query.where((eb) => eb.or([eb('id', '=', value), eb('type', '=', value)]));
  return (await found.executeTakeFirst()) !== undefined;
}

interface Filtered<Query> {
  where(column: 'kind' | 'value', operator: '=', value: string): Query;
}

function of<Query extends Filtered<Query>>(query: Query, { kind, value }: PauseKey): Query {
  return query.where('kind', '=', kind).where('value', '=', value);
}
