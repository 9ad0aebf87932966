import { sql } from 'kysely';
import type { Store } from './database.js';
import type { ChainTable } from './schema.js';

export interface OpenChains {
  readonly state: ChainTable['state'];
  readonly chains: number;
  /** Of those that were submitted for later, from their time on. */
  readonly oldestSeconds: number;
}

/** Open chains by state. Only they are looked at, by an index that has nothing else. */
export async function readOpenChains({ db }: Store): Promise<OpenChains[]> {
  const { rows } = await sql<OpenChains>`
    SELECT state, count(*) AS chains,
      greatest(0, extract(epoch FROM now() - min(greatest(created_at, start_at))))::float8 AS "oldestSeconds"
    FROM chain WHERE closed_at IS NULL GROUP BY state ORDER BY state`.execute(db);
  return rows;
}
