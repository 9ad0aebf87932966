import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { putBlobs } from '../src/store/blobs.js';
import { findChainHead } from '../src/store/chains.js';
import type { Store } from '../src/store/database.js';
import { median } from './figures.js';

async function medianMs(times: number, run: () => Promise<unknown>): Promise<number> {
  const samples: number[] = [];
  for (let at = 0; at < times; at += 1) {
    const from = performance.now();
    await run();
    samples.push(performance.now() - from);
  }
  return median(samples);
}

/** What one statement takes, in milliseconds, from a process that does nothing else. */
export async function storeTimes(store: Store, times: number): Promise<{ readMs: number; writeMs: number }> {
  return {
    readMs: await medianMs(times, () => findChainHead(store, 'no such chain')),
    writeMs: await medianMs(times, () => putBlobs(store.db, 'bench', [Buffer.from(randomUUID())])),
  };
}

/** Transactions that PostgreSQL has ended so far; a statement of its own is one. Busy connections report once a second. */
export async function transactions({ db }: Store): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT xact_commit AS count FROM pg_stat_database WHERE datname = current_database()`.execute(db);
  return rows[0]!.count;
}
