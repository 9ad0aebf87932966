import type { ChainState } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import type { Priority } from '../contracts/priority.js';
import { delayedUntil } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { listChains as readChains } from '../store/summaries.js';

/** States that a record can have: only Temporal knows which chains are stuck. */
const LISTED_STATES = ['queued', 'running', 'held', 'completed', 'failed', 'cancelled'] as const;
type ListedState = (typeof LISTED_STATES)[number];

const MAX_LISTED = 10_000;

export interface ListOptions {
  readonly state?: string;
  readonly tenant?: string;
  /** Name of the chain. */
  readonly chain?: string;
  /** How many at most, from 1 to 10,000. Default: 50. */
  readonly limit?: number;
}

/** A chain in a list. A chain that is stuck is listed in the state of its record: only `status` asks Temporal. */
export interface ChainSummary {
  readonly id: string;
  readonly chain: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly key: string | null;
  readonly title: string | null;
  readonly state: Exclude<ChainState, 'stuck'>;
  readonly createdAt: string;
  /** When it starts, of a chain that is queued for later; null for any other. */
  readonly startsAt: string | null;
  readonly closedAt: string | null;
  /** Micro-dollars of all attempts that have ended and whose model has a known price; null when none has. */
  readonly costMicroUsd: number | null;
}

/** The newest chains that fit. Throws `INVALID_INPUT` for a state or a limit that there is not. */
export async function listChains(store: Store, options: ListOptions): Promise<readonly ChainSummary[]> {
  const { state, limit = 50, ...filter } = options;
  if (state !== undefined && !isListedState(state)) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `Chains cannot be listed by the state ${JSON.stringify(state)}.`,
      `Use one of: ${LISTED_STATES.join(', ')}.`,
    );
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LISTED) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `The limit ${limit} is none.`,
      `Use a whole number from 1 to ${MAX_LISTED}.`,
    );
  }
  const rows = await readChains(store, { ...filter, ...(state === undefined ? {} : { state }) }, limit);
  return rows.map((row) => ({
    id: row.id,
    chain: row.type,
    tenant: row.tenant,
    priority: row.priority,
    key: row.key,
    title: row.title,
    state: row.state,
    createdAt: row.created_at.toISOString(),
    startsAt: delayedUntil(row)?.toISOString() ?? null,
    closedAt: row.closed_at?.toISOString() ?? null,
    costMicroUsd: row.cost_micro_usd,
  }));
}

function isListedState(state: string): state is ListedState {
  return (LISTED_STATES as readonly string[]).includes(state);
}
