import { createHash } from 'node:crypto';
import { type Kysely, type QueryCreator, sql } from 'kysely';
import type { Store } from './database.js';
import type { Database } from './schema.js';

/** SHA-256 in hex: the address of bytes within a tenant. */
export function addressOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The statement that stores bytes under their addresses, at least one; what is there already stays. */
export function insertBlobs(db: QueryCreator<Database>, tenant: string, blobs: readonly Buffer[]) {
  // The same bytes twice in one statement would be two rows with one key.
  const rows = new Map(blobs.map((bytes) => [addressOf(bytes), bytes] as const));
  return db
    .insertInto('blob')
    .values([...rows].map(([address, bytes]) => ({ tenant, address, bytes })))
    .onConflict((conflict) => conflict.doNothing());
}

/** Stores bytes under their addresses; what is there already stays. Returns the addresses in order. */
export async function putBlobs(db: Kysely<Database>, tenant: string, blobs: readonly Buffer[]): Promise<string[]> {
  if (blobs.length > 0) await insertBlobs(db, tenant, blobs).execute();
  return blobs.map(addressOf);
}

/** Reads bytes by address, in the order asked for. Throws when one is missing. */
export async function getBlobs({ db }: Store, tenant: string, addresses: readonly string[]): Promise<Buffer[]> {
  if (addresses.length === 0) return [];
  const rows = await db
    .selectFrom('blob')
    .select(['address', 'bytes'])
    .where('tenant', '=', tenant)
    .where('address', '=', sql<string>`ANY(${[...new Set(addresses)]})`)
    .execute();
  const found = new Map(rows.map((row) => [row.address, row.bytes]));
  return addresses.map((address) => {
    const bytes = found.get(address);
    if (bytes === undefined) throw new Error(`No blob ${address} of tenant ${JSON.stringify(tenant)} in the store.`);
    return bytes;
  });
}
