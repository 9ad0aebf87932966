import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stackEnvironment } from '../../src/config/index.js';
import { DEFAULT_QUOTA, type QuotaLimits } from '../../src/contracts/quotas.js';
import { cacheDirectory } from '../../src/embedded/binaries.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { startPostgres } from '../../src/embedded/postgres-server.js';
import { openStore, type Store } from '../../src/store/database.js';
import { migrate } from '../../src/store/migrate.js';
import { claimQuota, configureQuota, settleQuota } from '../../src/store/quotas.js';
import { digits, times } from '../figures.js';
import type { Result } from '../measurement.js';

export const RESERVATIONS = {
  title: 'reservations of one group',
  method:
    'Ten connections reserve one request, 1,000 input and 200 output tokens of one group and settle them, as fast as they can; beside them the least that such a thing could be, one update of one row. Then the same with limits that bind.',
} as const;

const CLIENTS = 10;
const LEAST_PER_SECOND = 1_000;

const NO_LIMIT = 1e12;
const BOUND = { perSecond: 200, burstSeconds: 1 };

/** Lets ten clients do one thing again and again; returns how often it was done, and in how many seconds. */
async function repeat(seconds: number, one: () => Promise<number>): Promise<{ done: number; seconds: number }> {
  const from = performance.now();
  let done = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (performance.now() - from < seconds * 1_000) {
        // Not `done += await …`: that reads before it waits, and loses what the others have counted.
        const count = await one();
        done += count;
      }
    }),
  );
  return { done, seconds: (performance.now() - from) / 1_000 };
}

async function reserve(store: Store, group: string, settle: boolean): Promise<number> {
  const place = { group, chain: 'c', step: 's', call: 1, worker: 1, rank: 1, ownPriority: false, begun: false };
  const claim = await claimQuota(store, { ...place, input: 1_000, output: 200 });
  if ('tooLarge' in claim) throw new Error('The call is larger than its group.');
  if (settle || !claim.admitted)
    await settleQuota(store, claim.id, claim.admitted ? { input: 900, output: 150 } : undefined);
  return claim.admitted ? 1 : 0;
}

export async function measureReservations(seconds: number): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  await chmod(directory, 0o755);
  const options = { directory, log: () => {}, cacheDirectory: cacheDirectory(stackEnvironment()) };
  const postgres = await startPostgres({ ...options, port: await findFreePort() });
  const store = openStore(postgres.url, { maxConnections: CLIENTS });
  try {
    await migrate(store);
    const limits = (perMinute: number, burstSeconds: number): QuotaLimits => ({
      ...DEFAULT_QUOTA,
      requestsPerMinute: perMinute,
      inputTokensPerMinute: NO_LIMIT,
      outputTokensPerMinute: NO_LIMIT,
      burstSeconds,
    });
    await configureQuota(store, 'free', limits(NO_LIMIT, 5));
    await store.pool.query('CREATE TABLE one_row (n float8); INSERT INTO one_row VALUES (0)');
    const update = async () => (await store.pool.query('UPDATE one_row SET n = n + 1')).rowCount ?? 0;
    await repeat(1, () => reserve(store, 'free', true));
    const reserved = await repeat(seconds, () => reserve(store, 'free', true));
    const updated = await repeat(seconds, update);

    await configureQuota(store, 'bound', limits(BOUND.perSecond * 60, BOUND.burstSeconds));
    const bound = await repeat(seconds, () => reserve(store, 'bound', false));
    const allowed = BOUND.perSecond * (BOUND.burstSeconds + bound.seconds);
    const perSecond = reserved.done / reserved.seconds;
    return {
      claims: [
        {
          text: `at least ${LEAST_PER_SECOND} reservations a second, each with its settlement: ${digits(perSecond, 0)}`,
          kept: perSecond >= LEAST_PER_SECOND,
          timed: true,
        },
        {
          text: `none is admitted over the limit: ${bound.done} of ${digits(allowed, 0)}`,
          kept: bound.done <= allowed,
          timed: false,
        },
      ],
      tables: [
        {
          head: ['', 'a second', 'ratio'],
          rows: [
            ['update of one row', digits(updated.done / updated.seconds, 0), times(1, 1)],
            ['reservation and settlement', digits(perSecond, 0), times(perSecond, updated.done / updated.seconds)],
          ],
        },
      ],
    };
  } finally {
    await store.close();
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
  }
}
