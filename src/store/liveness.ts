import { sql } from 'kysely';
import pg from 'pg';
import type { Store } from './database.js';

/** First key of the advisory locks by which worker processes show that they live; the second is the worker's number. */
const WORKER_LOCK = 0x401d;

/** A worker process, as others see it: alive as long as its connection to the store holds the lock of its number. */
export interface WorkerIdentity {
  readonly number: number;
  close(): Promise<void>;
}

/**
 * Takes a number and holds its lock on a connection of its own until `close`. PostgreSQL drops the lock with the
 * connection, so a killed worker is seen as dead at once, without a clock. When the connection breaks it is opened again.
 */
export async function announceWorker(store: Store, url: string): Promise<WorkerIdentity> {
  const { rows } = await sql<{ number: number }>`SELECT nextval('worker_number')::int AS number`.execute(store.db);
  const number = rows[0]!.number;
  let closed = false;
  let client: pg.Client | undefined;

  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: url,
      application_name: `holdfast worker ${number}`,
      keepAlive: true,
    });
    next.on('error', () => {});
    await next.connect();
    await next.query('SELECT pg_advisory_lock($1, $2)', [WORKER_LOCK, number]);
    next.once('end', reconnect);
    client = next;
  };
  const reconnect = (): void => {
    client = undefined;
    if (closed) return;
    connect().catch(() => setTimeout(reconnect, 250).unref());
  };
  await connect();
  return {
    number,
    close: async () => {
      closed = true;
      await client?.end();
    },
  };
}

/** The numbers of all workers that live now. */
export async function listLiveWorkers({ db }: Store): Promise<number[]> {
  const { rows } = await sql<{ number: number }>`
    SELECT objid::int AS number FROM pg_locks
    WHERE locktype = 'advisory' AND classid = ${sql.lit(WORKER_LOCK)} AND objsubid = 2 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY 1`.execute(db);
  return rows.map(({ number }) => number);
}

/** Whether the worker with this number is alive. A transaction's lock, so that asking leaves nothing behind. */
export async function isWorkerAlive({ db }: Store, number: number): Promise<boolean> {
  const { rows } = await sql<{ dead: boolean }>`
    SELECT pg_try_advisory_xact_lock_shared(${sql.lit(WORKER_LOCK)}::int, ${number}::int) AS dead`.execute(db);
  return !rows[0]!.dead;
}
