import {
  ExternalStorage,
  type Payload,
  type StorageDriver,
  StorageDriverClaim,
  type StorageDriverStoreContext,
} from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { DEFAULT_TENANT } from '../contracts/chains.js';
import { getBlobs, putBlobs } from './blobs.js';
import { findChain } from './chains.js';
import type { Store } from './database.js';

const { Payload: PayloadMessage } = temporal.api.common.v1;

/**
 * Payloads from this size on, in bytes, are stored once and travel as a reference, so that history grows by a constant
 * for each step. Smaller ones stay readable in Temporal's UI.
 */
export const INLINE_PAYLOAD_BYTES = 4_096;

const REMEMBERED = 10_000;

/** Temporal's external storage on our blobs: the same bytes of one tenant are kept once, however often they are sent. */
export function createPayloadStorage(store: Store): ExternalStorage {
  return new ExternalStorage({ drivers: [createDriver(store)], payloadSizeThreshold: INLINE_PAYLOAD_BYTES });
}

function createDriver(store: Store): StorageDriver {
  const tenants = new Map<string, string>();

  async function tenantOf({ target }: StorageDriverStoreContext): Promise<string> {
    if (target?.kind !== 'workflow' || target.id === undefined) return DEFAULT_TENANT;
    const known = tenants.get(target.id);
    if (known !== undefined) return known;
    const chain = await findChain(store, target.id);
    // Not remembered: a chain without a row gets one, perhaps of another tenant, from its first step.
    if (chain === undefined) return DEFAULT_TENANT;
    if (tenants.size >= REMEMBERED) tenants.delete(tenants.keys().next().value as string);
    tenants.set(target.id, chain.tenant);
    return chain.tenant;
  }

  return {
    name: 'holdfast',
    type: 'holdfast.postgresql',
    async store(context, payloads) {
      const tenant = await tenantOf(context);
      const bytes = payloads.map((payload) => Buffer.from(PayloadMessage.encode(payload).finish()));
      const addresses = await putBlobs(store.db, tenant, bytes);
      return addresses.map((address) => new StorageDriverClaim({ tenant, address }));
    },
    async retrieve(_context, claims) {
      const payloads: Payload[] = [];
      for (const { claimData } of claims) {
        const [bytes] = await getBlobs(store, claimData.tenant ?? DEFAULT_TENANT, [claimData.address ?? '']);
        payloads.push(PayloadMessage.decode(bytes as Buffer));
      }
      return payloads;
    },
  };
}
