import { HoldfastError } from '../contracts/errors.js';
import { validTenant } from '../intake/validate.js';
import type { Store } from '../store/database.js';
import { listWeights, putWeight } from '../store/weights.js';

/** A tenant's share of the quota while others wait as well: twice the weight, twice the tokens. */
export interface TenantWeight {
  readonly tenant: string;
  readonly weight: number;
}

const MAX_WEIGHT = 1_000;

/** Gives a tenant a weight, for calls that are planned from now on. Throws `INVALID_INPUT`. */
export async function setWeight(store: Store, tenant: string, weight: number): Promise<TenantWeight> {
  if (!(weight > 0 && weight <= MAX_WEIGHT)) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `The weight ${weight} is none.`,
      `Use a number above 0 and up to ${MAX_WEIGHT}; 1 is that of all others. To stop a tenant, pause it.`,
    );
  }
  await putWeight(store, validTenant(tenant), weight);
  return { tenant, weight };
}

/** The tenants whose weight is not 1. */
export const weights: (store: Store) => Promise<TenantWeight[]> = listWeights;
