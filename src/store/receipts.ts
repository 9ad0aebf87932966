import type { Store } from './database.js';

export interface ReceiptFilter {
  readonly tenant?: string;
  /** Type of the chain. */
  readonly chain?: string;
  /** Attempts that began at this time or later. */
  readonly since?: Date;
}

const COLUMNS = [
  'attempt.id',
  'attempt.chain_id',
  'attempt.tenant',
  'attempt.step',
  'attempt.call',
  'attempt.kind',
  'attempt.state',
  'attempt.model',
  'attempt.account',
  'attempt.request_id',
  'attempt.prompt_hash',
  'attempt.input_tokens',
  'attempt.output_tokens',
  'attempt.cache_read_tokens',
  'attempt.cache_write_5m_tokens',
  'attempt.cache_write_1h_tokens',
  'attempt.cost_micro_usd',
  'attempt.reason',
  'attempt.message',
  'attempt.started_at',
  'attempt.finished_at',
  'chain.type',
] as const;

/** The next attempts after one, oldest first. */
export function readReceipts({ db }: Store, filter: ReceiptFilter, afterId: number, limit: number) {
  let query = db
    .selectFrom('attempt')
    .innerJoin('chain', 'chain.id', 'attempt.chain_id')
    .select(COLUMNS)
    .select('chain.type')
    // The how-manieth model call of its step call.
    .select((eb) =>
      eb
        .selectFrom('attempt as earlier')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .whereRef('earlier.chain_id', '=', 'attempt.chain_id')
        .whereRef('earlier.first_run_id', '=', 'attempt.first_run_id')
        .whereRef('earlier.step', '=', 'attempt.step')
        .whereRef('earlier.call', '=', 'attempt.call')
        .whereRef('earlier.id', '<=', 'attempt.id')
        .where('earlier.kind', '!=', 'reuse')
        .as('attempt'),
    )
    .where('attempt.id', '>', afterId)
    .orderBy('attempt.id')
    .limit(limit);
  if (filter.tenant !== undefined) query = query.where('attempt.tenant', '=', filter.tenant);
  if (filter.chain !== undefined) query = query.where('chain.type', '=', filter.chain);
  if (filter.since !== undefined) query = query.where('attempt.started_at', '>=', filter.since);
  return query.execute();
}

/** An attempt with its chain, without its answer. */
export type ReceiptRow = Awaited<ReturnType<typeof readReceipts>>[number];
