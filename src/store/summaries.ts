import { sql } from 'kysely';
import type { Priority } from '../contracts/priority.js';
import type { Store } from './database.js';
import type { ChainTable } from './schema.js';

export interface ChainFilter {
  readonly state?: ChainTable['state'];
  readonly tenant?: string;
  /** Type of the chain. */
  readonly chain?: string;
}

export interface SummaryRow {
  readonly id: string;
  readonly type: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly key: string | null;
  readonly title: string | null;
  readonly state: ChainTable['state'];
  readonly created_at: Date;
  readonly start_at: Date | null;
  readonly closed_at: Date | null;
  readonly cost_micro_usd: number | null;
}

/** Chains without their input and output, newest first. */
export function listChains({ db }: Store, filter: ChainFilter, limit: number): Promise<SummaryRow[]> {
  let query = db
    .selectFrom('chain')
    .select(['id', 'type', 'tenant', 'priority', 'key', 'title', 'state', 'created_at', 'start_at', 'closed_at'])
    .select((eb) =>
      eb
        .selectFrom('attempt')
        .select(
          sql<
            number | null
          >`(CASE WHEN count(*) > 0 AND count(cost_micro_usd) = 0 THEN NULL ELSE coalesce(sum(cost_micro_usd), 0) END)::bigint`.as(
            'cost',
          ),
        )
        .whereRef('attempt.chain_id', '=', 'chain.id')
        .whereRef('attempt.first_run_id', '=', 'chain.first_run_id')
        .where('attempt.kind', '!=', 'reuse')
        .where('attempt.state', '!=', 'open')
        .as('cost_micro_usd'),
    )
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit);
  if (filter.state !== undefined) query = query.where('state', '=', filter.state);
  if (filter.tenant !== undefined) query = query.where('tenant', '=', filter.tenant);
  if (filter.chain !== undefined) query = query.where('type', '=', filter.chain);
  return query.execute();
}
