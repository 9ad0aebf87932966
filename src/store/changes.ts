import { type Selectable, sql } from 'kysely';
import type { Store } from './database.js';
import type { ChangeTable } from './schema.js';

export type ChangeRow = Selectable<ChangeTable>;

/** A place in the order of changes: everything up to it has been read. */
export type ChangePlace = Pick<ChangeRow, 'position' | 'seq'>;

/** The oldest transaction that is still open: below it nothing can be added any more. */
const HORIZON = sql<number>`pg_snapshot_xmin(pg_current_snapshot())::text::bigint`;

/**
 * The place after which stands everything that changed since `since`, and everything that is yet to be committed; without
 * `since` only the latter. It is that of a row, never the horizon itself: after a crash PostgreSQL may give the numbers of
 * transactions again that left nothing behind.
 */
export async function placeBefore({ db }: Store, since?: Date): Promise<ChangePlace> {
  const first = since === undefined ? sql`null` : sql`(SELECT min(position) FROM change WHERE changed_at >= ${since})`;
  const row = await db
    .selectFrom('change')
    .select(['position', 'seq'])
    .where('position', '<', sql<number>`(SELECT least(${HORIZON}, ${first}))`)
    .orderBy('position', 'desc')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row ?? { position: 0, seq: 0 };
}

/** The changes after a place, in order; none that a transaction still open could put another one before. */
export function readChanges({ db }: Store, after: ChangePlace, limit: number): Promise<ChangeRow[]> {
  return db
    .selectFrom('change')
    .selectAll()
    .where(({ eb, refTuple, tuple }) => eb(refTuple('position', 'seq'), '>', tuple(after.position, after.seq)))
    .where('position', '<', HORIZON)
    .orderBy('position')
    .orderBy('seq')
    .limit(limit)
    .execute();
}

/** Whether a change was at this place: `trimmed` when it is gone, `foreign` when no transaction has this number yet. */
export async function checkPlace({ db }: Store, place: ChangePlace): Promise<'known' | 'trimmed' | 'foreign'> {
  const { rows } = await sql<{ known: boolean; possible: boolean }>`SELECT
    EXISTS (SELECT FROM change WHERE position = ${place.position} AND seq = ${place.seq}) AS known,
    ${place.position} < pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS possible`.execute(db);
  const row = rows[0];
  if (row?.known === true) return 'known';
  return row?.possible === true ? 'trimmed' : 'foreign';
}
