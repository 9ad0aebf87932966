import type { RunningChain } from './chains.js';
import { type Store, storable } from './database.js';
import type { ChainTable } from './schema.js';

export interface ScheduledChain extends RunningChain, Pick<ChainTable, 'tenant' | 'priority' | 'title'> {
  readonly key: string;
  /** JSON; null for none. */
  readonly input: string | null;
  readonly contentHash: string;
  /** The time for which it was scheduled. */
  readonly scheduledAt: Date;
}

/**
 * Writes the row of a chain that a schedule has started; does nothing when it is there. Returns false when another chain
 * has its key: the schedule has fired for this time already.
 */
export async function insertScheduledChain({ db }: Store, chain: ScheduledChain): Promise<boolean> {
  const inserted = await db
    .insertInto('chain')
    .values({
      id: chain.id,
      type: chain.type,
      tenant: chain.tenant,
      priority: chain.priority,
      key: chain.key,
      content_hash: chain.contentHash,
      // Each firing is an intent of its own, even while an earlier one with the same input is open.
      content_slot: false,
      input: chain.input,
      title: chain.title === null ? null : storable(chain.title),
      state: 'running',
      first_run_id: chain.firstRunId,
      namespace: chain.namespace,
      created_at: chain.scheduledAt,
      started_at: new Date(),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted !== undefined) return true;
  return (await db.selectFrom('chain').select('id').where('id', '=', chain.id).executeTakeFirst()) !== undefined;
}
