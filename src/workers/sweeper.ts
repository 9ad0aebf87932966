import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import { sweep } from '../intake/sweep.js';
import type { Store } from '../store/database.js';
import { listLiveWorkers } from '../store/liveness.js';
import { dropDeadClaims } from '../store/quotas.js';

const SWEEPER_LOCK = 0x5_3ee9;
const INTERVAL_MS = 1_000;

export interface Sweeper {
  stop(): Promise<void>;
}

/** Sweeps every second; of all workers one at a time does, by an advisory lock that a dead one cannot keep. */
export function startSweeper(store: Store, temporal: Client, log: (message: string) => void): Sweeper {
  const stopping = new AbortController();
  let wake = (): void => {};
  let complaints = new Set<string>();
  let earlier = new Set<string>();

  /** Says what is wrong once, not every second; again when it has been mended in between. */
  function complain(problem: string): void {
    complaints.add(problem);
    if (!earlier.has(problem)) log(`sweeper: ${problem}; it goes on trying`);
  }

  async function once(): Promise<void> {
    await store.db.connection().execute(async (connection) => {
      const { rows } = await sql<{ mine: boolean }>`
        SELECT pg_try_advisory_lock(${sql.lit(SWEEPER_LOCK)}) AS mine`.execute(connection);
      if (!rows[0]?.mine) return;
      try {
        const { started, closed, sent, woken, problems } = await sweep(store, temporal, stopping.signal);
        for (const problem of problems) complain(problem);
        await dropDeadClaims(store, await listLiveWorkers(store));
        if (started + closed + sent + woken > 0) {
          log(`sweeper: started ${started}, closed ${closed}, decisions sent ${sent}, woken ${woken}`);
        }
      } finally {
        await sql`SELECT pg_advisory_unlock(${sql.lit(SWEEPER_LOCK)})`.execute(connection);
      }
    });
  }

  const loop = (async () => {
    while (!stopping.signal.aborted) {
      earlier = complaints;
      complaints = new Set();
      try {
        await once();
      } catch (error) {
        // The store or Temporal is away.
        complain(error instanceof Error ? error.message : String(error));
      }
      if (stopping.signal.aborted) break;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, INTERVAL_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  })();

  return {
    stop: async () => {
      stopping.abort();
      wake();
      await loop;
    },
  };
}
