import { type Kysely, sql } from 'kysely';
import type { Priority } from '../contracts/priority.js';
import type { ChainRow } from './chains.js';
import { type Store, storable } from './database.js';
import type { Database } from './schema.js';

/** What of a row matters when it is compared with its workflow. */
export type ComparedRow = Pick<
  ChainRow,
  'id' | 'state' | 'namespace' | 'first_run_id' | 'closed_at' | 'content_hash' | 'input' | 'key' | 'title' | 'start_at'
>;

/** The rows of these chains, and with them all rows that are open. */
export async function listRowsToCompare({ db }: Store, ids: readonly string[]): Promise<ComparedRow[]> {
  return db
    .selectFrom('chain')
    .select([
      'id',
      'state',
      'namespace',
      'first_run_id',
      'closed_at',
      'content_hash',
      'input',
      'key',
      'title',
      'start_at',
    ])
    .where((eb) => eb.or([eb('closed_at', 'is', null), eb('id', '=', sql<string>`ANY(${ids})`)]))
    .orderBy('id')
    .execute();
}

/** A chain as its workflow tells of it. */
export interface ToldChain {
  readonly id: string;
  readonly type: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly key: string | null;
  readonly title: string | null;
  /** JSON; null when its bytes are lost. */
  readonly input: string | null;
  readonly contentHash: string | null;
  readonly firstRunId: string;
  readonly namespace: string;
  readonly submittedAt: Date;
  /** In the future for one that was submitted for later. */
  readonly beginsAt: Date;
}

/**
 * Writes the row of a chain whose workflow is there and whose row is lost. One that its next step has written meanwhile is
 * completed; its tenant stays once it has paid for something, since its conversations are kept under it.
 */
export async function restoreChainRow({ db }: Store, told: ToldChain): Promise<void> {
  const waits = told.beginsAt.getTime() > Date.now();
  const values = {
    type: told.type,
    priority: told.priority,
    key: told.key,
    title: told.title === null ? null : storable(told.title),
    input: told.input,
    content_hash: told.contentHash,
  };
  await db
    .insertInto('chain')
    .values({
      ...values,
      id: told.id,
      tenant: told.tenant,
      content_slot: false,
      namespace: told.namespace,
      created_at: told.submittedAt,
      ...(waits
        ? { state: 'queued', start_at: told.beginsAt, checked_at: told.beginsAt }
        : { state: 'running', first_run_id: told.firstRunId, started_at: told.beginsAt }),
    })
    .onConflict((conflict) =>
      conflict
        .column('id')
        .doUpdateSet({
          ...values,
          tenant: sql<string>`CASE WHEN EXISTS (SELECT 1 FROM attempt WHERE chain_id = chain.id) THEN chain.tenant
            ELSE excluded.tenant END`,
        })
        .where('chain.content_hash', 'is', null),
    )
    .execute();
}

/**
 * Gives a chain another first run together with its receipts and holds, so that the new run finds them in its journal.
 * `start` begins that run and returns its id. The row is locked meanwhile: the first step of the new run waits for it.
 */
export async function moveToRun({ db }: Store, id: string, start: () => Promise<string>): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom('chain')
      .select('first_run_id')
      .where('id', '=', id)
      .where('closed_at', 'is', null)
      .forUpdate()
      .executeTakeFirstOrThrow();
    const to = await start();
    if (row.first_run_id !== null) await moveRecords(trx, id, row.first_run_id, to);
    await trx.updateTable('chain').set({ first_run_id: to }).where('id', '=', id).execute();
  });
}

async function moveRecords(trx: Kysely<Database>, id: string, from: string, to: string): Promise<void> {
  for (const table of ['attempt', 'hold', 'parked'] as const) {
    await trx
      .updateTable(table)
      .set({ first_run_id: to })
      .where('chain_id', '=', id)
      .where('first_run_id', '=', from)
      .execute();
  }
}

/** Those of the addresses that no tenant has a blob under. */
export async function findMissingBlobs({ db }: Store, addresses: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ address: string }>`
    SELECT address FROM unnest(${[...addresses]}::text[]) AS wanted (address)
    WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.address = wanted.address)`.execute(db);
  return rows.map(({ address }) => address);
}

/** The step calls, as `step-call`, that a chain has a successful receipt of. */
export async function listPaidCalls({ db }: Store, id: string): Promise<string[]> {
  const rows = await db
    .selectFrom('attempt')
    .select(['step', 'call'])
    .where('chain_id', '=', id)
    .where('state', '=', 'succeeded')
    .execute();
  return rows.map(({ step, call }) => `${step}-${call}`);
}
