import { HoldfastError } from '../contracts/errors.js';
import type { Store } from '../store/database.js';
import { type Figures, type QuotaUsed, readFigures } from '../store/figures.js';
import { type OpenChains, readOpenChains } from '../store/open-chains.js';
import { type QuotaState, readQuotas } from '../store/quota-stats.js';
import { type QueueDepth, readQueueDepths } from './queue-depths.js';
import { parseSince } from './since.js';
import type { TemporalLink } from './temporal-link.js';

export interface StatsOptions {
  /** From when on things are counted: ISO 8601, or how long ago (`30s`, `10m`, `2h`, `7d`). Default: `1h`. */
  readonly since?: string;
}

export interface Stats extends Omit<Figures, 'used'> {
  readonly since: string;
  readonly until: string;
  /** Open chains now, by state. */
  readonly open: readonly OpenChains[];
  /** As they stand now, and what was used since. */
  readonly quotas: readonly (QuotaState & { readonly used: Omit<QuotaUsed, 'group'> })[];
  /** What waits in Temporal's queues now; null when Temporal cannot be reached. */
  readonly queues: readonly QueueDepth[] | null;
}

const DEFAULT_SINCE = '1h';

/** How the installation does. Throws `INVALID_INPUT` for a point in time that is none. */
export async function readStats(store: Store, temporal: TemporalLink, options: StatsOptions = {}): Promise<Stats> {
  const since = parseSince(options.since ?? DEFAULT_SINCE);
  const [{ used, ...figures }, open, quotas] = await Promise.all([
    readFigures(store, since),
    readOpenChains(store),
    readQuotas(store),
  ]);
  const groups = quotas.map(({ group }) => group);
  return {
    since: since.toISOString(),
    until: new Date().toISOString(),
    open,
    quotas: quotas.map((quota) => {
      const { group: _, ...taken } = used.find(({ group }) => group === quota.group) ?? UNUSED;
      return { ...quota, used: taken };
    }),
    queues: await temporal.use((client) => readQueueDepths(client, groups)).catch(nullIfUnreachable),
    ...figures,
  };
}

const UNUSED: QuotaUsed = { group: '', requests: 0, inputTokens: 0, outputTokens: 0, refused: 0 };

function nullIfUnreachable(error: unknown): null {
  if (error instanceof HoldfastError && error.code === 'TEMPORAL_UNREACHABLE') return null;
  throw error;
}
