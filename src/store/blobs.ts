import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import type { Store } from './database.js';
import type { Database } from './schema.js';

/** SHA-256 in hex: the address of bytes within a tenant. */
export function addressOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Stores bytes under their addresses; what is there already stays. Returns the addresses in order. */
export async function putBlobs(db: Kysely<Database>, tenant: string, blobs: readonly Buffer[]): Promise<string[]> {
  const rows = new Map(blobs.map((bytes) => [addressOf(bytes), bytes] as const));
  if (rows.size > 0) {
    await db
      .insertInto('blob')
      .values([...rows].map(([address, bytes]) => ({ tenant, address, bytes })))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  return blobs.map(addressOf);
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
