import { createHash } from 'node:crypto';
import { type Kysely, type QueryCreator, sql } from 'kysely';
import type { Store } from './database.js';
import type { Database } from './schema.js';

/** SHA-256 in hex: the address of bytes within a tenant. */
export function addressOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Whether a blob counts as touched too long ago: a put or a read then says that it is in use. Pruning leaves everything
 * alone that was touched in the last two hours, so that most puts need not write.
 */
export const IS_STALE = sql<boolean>`blob.touched_at < now() - interval '1 hour'`;

/**
 * The statement that stores bytes under their addresses, at least one; what is there already stays, and counts as in use
 * again. A row that pruning is deleting at this moment is waited for and written anew.
 */
export function insertBlobs(db: QueryCreator<Database>, tenant: string, blobs: readonly Buffer[]) {
  // The same bytes twice in one statement would be two rows with one key.
  const rows = new Map(blobs.map((bytes) => [addressOf(bytes), bytes] as const));
  return (
    db
      .insertInto('blob')
      // In the order of addresses: of two that put the same blobs neither waits for the other for ever.
      .values([...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([address, bytes]) => ({ tenant, address, bytes })))
      .onConflict((conflict) =>
        conflict.columns(['tenant', 'address']).doUpdateSet({ touched_at: sql<Date>`now()` }).where(IS_STALE),
      )
  );
}

/** Stores bytes under their addresses, see {@link insertBlobs}. Returns the addresses in order. */
export async function putBlobs(db: Kysely<Database>, tenant: string, blobs: readonly Buffer[]): Promise<string[]> {
  if (blobs.length > 0) await insertBlobs(db, tenant, blobs).execute();
  return blobs.map(addressOf);
}

/** Says of blobs that they are in use. */
export async function touchBlobs({ db }: Store, tenant: string, addresses: readonly string[]): Promise<void> {
  await db
    .updateTable('blob')
    .set({ touched_at: sql<Date>`now()` })
    .where('tenant', '=', tenant)
    .where('address', 'in', (inner) =>
      inner
        .selectFrom('blob')
        .select('address')
        .where('tenant', '=', tenant)
        .where('address', '=', sql<string>`ANY(${addresses})`)
        .orderBy('address')
        .forUpdate(),
    )
    .execute();
}

/** Reads bytes by address; those that the tenant does not have are left out. */
export async function findBlobs(
  { db }: Store,
  tenant: string,
  addresses: readonly string[],
): Promise<ReadonlyMap<string, Buffer>> {
  if (addresses.length === 0) return new Map();
  const rows = await db
    .selectFrom('blob')
    .select(['address', 'bytes'])
    .where('tenant', '=', tenant)
    .where('address', '=', sql<string>`ANY(${[...new Set(addresses)]})`)
    .execute();
  return new Map(rows.map((row) => [row.address, row.bytes]));
}

/** Reads bytes by address, in the order asked for. Throws when one is missing. */
export async function getBlobs(store: Store, tenant: string, addresses: readonly string[]): Promise<Buffer[]> {
  const found = await findBlobs(store, tenant, addresses);
  return addresses.map((address) => {
    const bytes = found.get(address);
    if (bytes === undefined) throw new Error(`No blob ${address} of tenant ${JSON.stringify(tenant)} in the store.`);
    return bytes;
  });
}
