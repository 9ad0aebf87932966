import { sql } from 'kysely';
import type { Store } from './database.js';

/** Of every tenant that nobody has given another. */
const DEFAULT_WEIGHT = 1;

/** How long a process may go by a weight that has been changed, in milliseconds. */
const KNOWN_MS = 1_000;

const known = new WeakMap<Store['pool'], { readonly at: number; readonly weights: Promise<Map<string, number>> }>();

/** The weight of a tenant, at most a second old. */
export async function tenantWeight(store: Store, tenant: string): Promise<number> {
  const last = known.get(store.pool);
  if (last !== undefined && Date.now() - last.at < KNOWN_MS) return (await last.weights).get(tenant) ?? DEFAULT_WEIGHT;
  const weights = listWeights(store).then((rows) => new Map(rows.map((row) => [row.tenant, row.weight])));
  known.set(store.pool, { at: Date.now(), weights });
  weights.catch(() => known.delete(store.pool));
  return (await weights).get(tenant) ?? DEFAULT_WEIGHT;
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
