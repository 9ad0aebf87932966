import { sql } from 'kysely';
import type { Store } from './database.js';
import { Remembered } from './remembered.js';

/** Of every tenant that nobody has given another. */
const DEFAULT_WEIGHT = 1;

/** A process may go by a weight that has been changed for a second. */
const known = new Remembered(
  async (store) => new Map((await listWeights(store)).map(({ tenant, weight }) => [tenant, weight])),
  1_000,
);

/** The weight of a tenant, at most a second old. */
export async function tenantWeight(store: Store, tenant: string): Promise<number> {
  return (await known.of(store)).get(tenant) ?? DEFAULT_WEIGHT;
}

/** The tenants with a weight of their own, by name. */
export function listWeights({ db }: Store): Promise<{ tenant: string; weight: number }[]> {
  return db.selectFrom('tenant_weight').select(['tenant', 'weight']).orderBy('tenant').execute();
}

/** Gives a tenant a weight. The default one leaves no row. */
export async function putWeight({ db }: Store, tenant: string, weight: number): Promise<void> {
  if (weight === DEFAULT_WEIGHT) {
    await db.deleteFrom('tenant_weight').where('tenant', '=', tenant).execute();
    return;
  }
  await db
    .insertInto('tenant_weight')
    .values({ tenant, weight })
    .onConflict((conflict) => conflict.column('tenant').doUpdateSet({ weight: sql<number>`excluded.weight` }))
    .execute();
}
