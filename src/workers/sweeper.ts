import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import { sweep } from '../intake/sweep.js';
import type { Store } from '../store/database.js';
import { listLiveWorkers } from '../store/liveness.js';
import { dropDeadClaims } from '../store/quotas.js';
import { type Repeated, repeat } from './repeat.js';

const SWEEPER_LOCK = 0x5_3ee9;
const INTERVAL_MS = 1_000;

/** Sweeps every second; of all workers one at a time does, by an advisory lock that a dead one cannot keep. */
export function startSweeper(store: Store, temporal: Client, log: (message: string) => void): Repeated {
  return repeat('sweeper', INTERVAL_MS, log, (signal, complain) =>
    store.db.connection().execute(async (connection) => {
      const { rows } = await sql<{ mine: boolean }>`
        SELECT pg_try_advisory_lock(${sql.lit(SWEEPER_LOCK)}) AS mine`.execute(connection);
      if (!rows[0]?.mine) return;
      try {
        const { started, closed, sent, woken, problems } = await sweep(store, temporal, signal);
        for (const problem of problems) complain(problem);
        await dropDeadClaims(store, await listLiveWorkers(store));
        if (started + closed + sent + woken > 0) {
          log(`sweeper: started ${started}, closed ${closed}, decisions sent ${sent}, woken ${woken}`);
        }
      } finally {
        await sql`SELECT pg_advisory_unlock(${sql.lit(SWEEPER_LOCK)})`.execute(connection);
      }
    }),
  );
}
