import { type Selectable, sql, type Transaction } from 'kysely';
import { type Store, storable } from './database.js';
import type { Database, ParkedTable } from './schema.js';

export type ParkedRow = Selectable<ParkedTable>;

/** Names a call of a chain among those that are parked. */
export interface ParkedCall {
  readonly chainId: string;
  readonly firstRunId: string;
  readonly step: string;
  readonly call: number;
}

/** What a call waits for. Whoever ends a cause says so by {@link endCause}. */
export interface ParkingCause {
  /** Which mechanism, and which one of its own. */
  readonly kind: string;
  readonly id: string;
  /** For people. */
  readonly text: string;
}

/** Thrown where a call was to be made that has been parked instead. The message is the cause for people. */
export class CallParkedError extends Error {
  override readonly name = 'CallParkedError';
}

/**
 * Parks a call, in the transaction that has found its cause and keeps it from ending meanwhile (`FOR SHARE`): whoever ends
 * it then sees the row. A call that is parked again for the same cause keeps its place. Returns false, and does nothing,
 * when the chain has ended: nobody would ever take its row away.
 */
export async function parkCall(
  trx: Transaction<Database>,
  call: ParkedCall,
  cause: ParkingCause,
  dueAt: Date | null = null,
): Promise<boolean> {
  const open = await trx
    .selectFrom('chain')
    .select('id')
    .where('id', '=', call.chainId)
    .where('closed_at', 'is', null)
    .forShare()
    .executeTakeFirst();
  if (open === undefined) return false;
  const waits = { cause: storable(cause.text), due_at: dueAt, wakes: 0, woken_at: null };
  await trx
    .insertInto('parked')
    .values({ ...columnsOf(call), cause_kind: cause.kind, cause_id: cause.id, ...waits })
    .onConflict((conflict) =>
      conflict.columns(['chain_id', 'first_run_id', 'step', 'call']).doUpdateSet({
        ...waits,
        cause_kind: cause.kind,
        cause_id: cause.id,
        since: sql<Date>`CASE WHEN (parked.cause_kind, parked.cause_id) = (excluded.cause_kind, excluded.cause_id)
          THEN parked.since ELSE excluded.since END`,
      }),
    )
    .execute();
  return true;
}

/** Takes a call that goes on out of those that are parked. */
export async function unparkCall({ db }: Pick<Store, 'db'>, call: ParkedCall): Promise<void> {
  await matching(db.deleteFrom('parked'), call).execute();
}

/** Whether a call is parked. */
export async function isParked({ db }: Store, call: ParkedCall): Promise<boolean> {
  return (await matching(db.selectFrom('parked').select('step'), call).executeTakeFirst()) !== undefined;
}

/** Says that a cause is over, in the transaction that ends it: the calls that wait for it are due. */
export async function endCause(trx: Transaction<Database>, kind: string, id: string): Promise<void> {
  await trx
    .updateTable('parked')
    .set({ due_at: sql<Date>`now()`, wakes: 0, woken_at: null })
    .where('cause_kind', '=', kind)
    .where('cause_id', '=', id)
    .execute();
}

/** How long a chain may take to plan a due call before it is told again, in seconds; it doubles each time. */
const REWAKE_S = 5;
const MAX_REWAKE_S = 600;

/**
 * Open chains of a namespace with calls whose cause is over, longest due first; notes that they are told now. One that
 * does not react (no worker runs, its code cannot go on) is told ever more rarely, since each signal stays in history.
 */
export async function takeDueChains({ db }: Store, namespace: string, limit: number): Promise<string[]> {
  const rows = await db
    .updateTable('parked')
    .set(({ eb }) => ({ wakes: eb('wakes', '+', 1), woken_at: sql<Date>`now()` }))
    .where('due_at', '<=', sql<Date>`now()`)
    .where(({ eb, refTuple, selectFrom }) =>
      eb(
        refTuple('parked.chain_id', 'parked.first_run_id'),
        'in',
        selectFrom('parked as due')
          .innerJoin('chain', (join) =>
            join.onRef('chain.id', '=', 'due.chain_id').onRef('chain.first_run_id', '=', 'due.first_run_id'),
          )
          .select(['due.chain_id', 'due.first_run_id'])
          .where('due.due_at', '<=', sql<Date>`now()`)
          .where((or) =>
            or.or([
              or('due.woken_at', 'is', null),
              or(
                'due.woken_at',
                '<',
                sql<Date>`now() - make_interval(secs => least(${MAX_REWAKE_S}, ${REWAKE_S} * power(2, least(due.wakes, 20))))`,
              ),
            ]),
          )
          .where('chain.closed_at', 'is', null)
          .where((or) => or.or([or('chain.namespace', 'is', null), or('chain.namespace', '=', namespace)]))
          .orderBy('due.due_at')
          .limit(limit)
          .forUpdate('due')
          .skipLocked()
          .$asTuple('chain_id', 'first_run_id'),
      ),
    )
    .returning('chain_id')
    .execute();
  return [...new Set(rows.map((row) => row.chain_id))];
}

/** The parked calls of a chain, longest first. */
export function listParkedCalls({ db }: Store, chainId: string, firstRunId: string): Promise<ParkedRow[]> {
  return db
    .selectFrom('parked')
    .selectAll()
    .where('chain_id', '=', chainId)
    .where('first_run_id', '=', firstRunId)
    .orderBy('since')
    .execute();
}

function columnsOf({ chainId, firstRunId, step, call }: ParkedCall) {
  return { chain_id: chainId, first_run_id: firstRunId, step, call };
}

interface Filtered<Query> {
  where(column: 'chain_id' | 'first_run_id' | 'step' | 'call', operator: '=', value: string | number): Query;
}

function matching<Query extends Filtered<Query>>(query: Query, call: ParkedCall): Query {
  return Object.entries(columnsOf(call)).reduce(
    (narrowed, [column, value]) => narrowed.where(column as keyof ReturnType<typeof columnsOf>, '=', value),
    query,
  );
}
