import { type ExpressionBuilder, sql } from 'kysely';
import type { Store } from './database.js';
import type { Database } from './schema.js';

/** Which closed chains are pruned. */
export interface PruneScope {
  /** Temporal namespace; chains of others are not ours to judge. */
  readonly namespace: string;
  /** Only chains that ended before; null for all. */
  readonly closedBefore: Date | null;
  readonly tenant?: string;
  /** Chains stay with their receipts, without their contents. */
  readonly keepReceipts: boolean;
}

export interface RecordCounts {
  readonly chains: number;
  readonly attempts: number;
  readonly holds: number;
}

/** How many rows one transaction takes: some milliseconds, so that workers beside it do not wait. */
const BATCH = 200;

function inScope(eb: ExpressionBuilder<Database, 'chain'>, scope: PruneScope) {
  const { closedBefore, tenant, keepReceipts, namespace } = scope;
  return eb.and([
    eb('chain.closed_at', 'is not', null),
    eb.or([eb('chain.namespace', 'is', null), eb('chain.namespace', '=', namespace)]),
    ...(closedBefore === null ? [] : [eb('chain.closed_at', '<', closedBefore)]),
    ...(tenant === undefined ? [] : [eb('chain.tenant', '=', tenant)]),
    ...(keepReceipts ? [eb('chain.pruned_at', 'is', null)] : []),
  ]);
}

/** What pruning would take; with `keepReceipts` its attempts are those that lose their contents. */
export async function countPrunable({ db }: Store, scope: PruneScope): Promise<RecordCounts> {
  const of = (table: 'attempt' | 'hold') =>
    db
      .selectFrom(table)
      .innerJoin('chain', 'chain.id', `${table}.chain_id`)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where((eb) => inScope(eb, scope))
      .executeTakeFirstOrThrow();
  const chains = db
    .selectFrom('chain')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where((eb) => inScope(eb, scope))
    .executeTakeFirstOrThrow();
  const [chain, attempt, hold] = await Promise.all([chains, of('attempt'), of('hold')]);
  return { chains: chain.count, attempts: attempt.count, holds: hold.count };
}

/** The ids of the next chains to prune; empty when there are none left. */
export async function nextPrunable({ db }: Store, scope: PruneScope): Promise<string[]> {
  const rows = await db
    .selectFrom('chain')
    .select('id')
    .where((eb) => inScope(eb, scope))
    .orderBy('closed_at')
    .limit(BATCH)
    .execute();
  return rows.map(({ id }) => id);
}

/** Prunes those of the chains that are still in scope: a reset in Temporal may have opened one again. */
export function pruneChains({ db }: Store, scope: PruneScope, ids: readonly string[]): Promise<RecordCounts> {
  return db.transaction().execute(async (trx) => {
    const rows = await trx
      .selectFrom('chain')
      .select('id')
      .where('id', 'in', [...ids])
      .where((eb) => inScope(eb, scope))
      .orderBy('id')
      .forUpdate()
      .execute();
    const locked = rows.map(({ id }) => id);
    if (locked.length === 0) return { chains: 0, attempts: 0, holds: 0 };
    await trx.deleteFrom('change').where('chain_id', 'in', locked).execute();
    const holds = await trx.deleteFrom('hold').where('chain_id', 'in', locked).executeTakeFirst();
    const attempts = scope.keepReceipts
      ? await trx
          .updateTable('attempt')
          .set({ result: null, answer: null, message: null })
          .where('chain_id', 'in', locked)
          .executeTakeFirst()
      : await trx.deleteFrom('attempt').where('chain_id', 'in', locked).executeTakeFirst();
    if (scope.keepReceipts) {
      // An erasure forgets the key as well, which a person chose; otherwise it goes on answering for its chain.
      const erased = scope.closedBefore === null ? { key: null, content_hash: null } : {};
      await trx
        .updateTable('chain')
        .set({ input: null, output: null, title: null, message: null, pruned_at: new Date(), ...erased })
        .where('id', 'in', locked)
        .execute();
    } else {
      await trx.deleteFrom('chain').where('id', 'in', locked).execute();
    }
    const changed = 'numUpdatedRows' in attempts ? attempts.numUpdatedRows : attempts.numDeletedRows;
    return { chains: locked.length, attempts: Number(changed), holds: Number(holds.numDeletedRows) };
  });
}

/** Open chains, of one tenant or of all. */
export function listOpenChains({ db }: Store, tenant: string) {
  return db
    .selectFrom('chain')
    .select(['id', 'state', 'namespace'])
    .where('tenant', '=', tenant)
    .where('closed_at', 'is', null)
    .orderBy('created_at')
    .execute();
}

/** Where a chain that is kept may name blobs which were last touched before `untouchedSince`. */
export async function* chainsThatMayReferTo(
  { db }: Store,
  untouchedSince: Date,
  closedBefore: Date,
): AsyncGenerator<{
  readonly id: string;
  readonly tenant: string;
  readonly namespace: string | null;
  readonly text: string;
}> {
  let after = '';
  for (;;) {
    const rows = await db
      .selectFrom('chain')
      .select((eb) => [
        'id',
        'tenant',
        'namespace',
        sql<string>`concat_ws(' ', input, output, ${eb
          .selectFrom('attempt')
          .select(sql<string>`string_agg(result, ' ')`.as('results'))
          .whereRef('attempt.chain_id', '=', 'chain.id')})`.as('text'),
      ])
      .where('id', '>', after)
      .where('created_at', '<', untouchedSince)
      .where('pruned_at', 'is', null)
      .where((eb) => eb.or([eb('closed_at', 'is', null), eb('closed_at', '>=', closedBefore)]))
      .orderBy('id')
      .limit(BATCH)
      .execute();
    yield* rows;
    if (rows.length < BATCH) return;
    after = (rows.at(-1) as { id: string }).id;
  }
}

/** Blobs that nobody has touched since, in order, from after `after` on. */
export function listUntouchedBlobs(
  { db }: Store,
  untouchedSince: Date,
  tenant: string | undefined,
  after: { readonly tenant: string; readonly address: string },
): Promise<{ tenant: string; address: string; bytes: number }[]> {
  let query = db
    .selectFrom('blob')
    .select(['tenant', 'address', sql<number>`length(bytes)`.as('bytes')])
    .where('touched_at', '<', untouchedSince)
    .where((eb) => eb(eb.refTuple('tenant', 'address'), '>', eb.tuple(after.tenant, after.address)))
    .orderBy('tenant')
    .orderBy('address')
    .limit(BATCH);
  if (tenant !== undefined) query = query.where('tenant', '=', tenant);
  return query.execute();
}

/** The contents of blobs of any tenant, as far as they are there. */
export async function readAnyBlobs({ db }: Store, addresses: readonly string[]): Promise<Buffer[]> {
  const rows = await db
    .selectFrom('blob')
    .select('bytes')
    .where('address', '=', sql<string>`ANY(${addresses})`)
    .execute();
  return rows.map(({ bytes }) => bytes);
}

/** Deletes blobs, except those that were touched meanwhile. Returns how many went. */
export async function deleteUntouchedBlobs(
  { db }: Store,
  untouchedSince: Date,
  blobs: readonly { readonly tenant: string; readonly address: string }[],
): Promise<number> {
  if (blobs.length === 0) return 0;
  const { numDeletedRows } = await db
    .deleteFrom('blob')
    .where('touched_at', '<', untouchedSince)
    .where((eb) =>
      eb(
        eb.refTuple('tenant', 'address'),
        'in',
        blobs.map((blob) => eb.tuple(blob.tenant, blob.address)),
      ),
    )
    .executeTakeFirst();
  return Number(numDeletedRows);
}

/**
 * Deletes some blobs of a tenant that has no chains; returns their sizes, or null when it has one again. A chain that is
 * submitted meanwhile waits with its first blob until this has ended, and writes it anew.
 */
export async function deleteBlobsOfTenant({ db }: Store, tenant: string): Promise<number[] | null> {
  try {
    return await db.transaction().execute(async (trx) => {
      const deleted = await trx
        .deleteFrom('blob')
        .where('tenant', '=', tenant)
        .where('address', 'in', (inner) =>
          inner.selectFrom('blob').select('address').where('tenant', '=', tenant).orderBy('address').limit(BATCH),
        )
        .returning(sql<number>`length(bytes)`.as('size'))
        .execute();
      const chain = await trx
        .selectFrom('chain')
        .select('id')
        .where('tenant', '=', tenant)
        .where('pruned_at', 'is', null)
        .limit(1)
        .executeTakeFirst();
      if (chain !== undefined) throw new TenantInUse();
      return deleted.map(({ size }) => size);
    });
  } catch (error) {
    if (error instanceof TenantInUse) return null;
    throw error;
  }
}

/** Rolls the transaction back. */
class TenantInUse extends Error {}

/** Number and size of a tenant's blobs. */
export async function measureBlobs({ db }: Store, tenant: string): Promise<{ blobs: number; blobBytes: number }> {
  const row = await db
    .selectFrom('blob')
    .select([sql<number>`count(*)`.as('blobs'), sql<number>`coalesce(sum(length(bytes)), 0)::bigint`.as('blobBytes')])
    .where('tenant', '=', tenant)
    .executeTakeFirstOrThrow();
  return row;
}
