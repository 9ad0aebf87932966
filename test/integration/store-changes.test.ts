import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAttempt, succeedAttempt } from '../../src/store/attempts.js';
import { closeChain, insertChain, markStarted, type NewChain } from '../../src/store/chains.js';
import { type ChangePlace, type ChangeRow, checkPlace, placeBefore, readChanges } from '../../src/store/changes.js';
import { openStore, type Store } from '../../src/store/database.js';
import { decideHold, openHold } from '../../src/store/holds.js';
import { migrate, requireSchema } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';

let url: string;
let store: Store;

beforeAll(async () => {
  url = await createDatabase();
  store = openStore(url);
  await migrate(store);
});
afterAll(() => store?.close());

let counter = 0;
async function newChain(): Promise<string> {
  counter += 1;
  const chain: NewChain = {
    type: 'analyzeDocument',
    tenant: 'acme',
    priority: 'normal',
    contentHash: `content-${counter}`,
    input: '{}',
    key: `key-${counter}`,
  };
  return (await insertChain(store, chain)).row.id;
}

/** Waits until nothing is open that began before: tests of other databases use the same server, and count as well. */
async function settle(): Promise<void> {
  const { rows } = await store.pool.query<{ xid: number }>('SELECT pg_current_xact_id()::text::bigint AS xid');
  const past = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > ${rows[0]?.xid} AS past`;
  await expect.poll(async () => (await store.pool.query(past)).rows[0], { timeout: 60_000 }).toEqual({ past: true });
}

/** Reads on from a place in pages of two; returns what was read, and where it ended. */
async function readOn(from: ChangePlace): Promise<{ rows: ChangeRow[]; end: ChangePlace }> {
  await settle();
  return readNow(from);
}

async function readNow(from: ChangePlace): Promise<{ rows: ChangeRow[]; end: ChangePlace }> {
  const rows: ChangeRow[] = [];
  let end = from;
  for (;;) {
    const page = await readChanges(store, end, 2);
    if (page.length === 0) return { rows, end };
    rows.push(...page);
    end = page.at(-1) as ChangeRow;
  }
}

const told = (rows: readonly ChangeRow[], id: string) =>
  rows.filter(({ chain_id }) => chain_id === id).map(({ state }) => state);

/** A connection with an open transaction that has its number. */
async function begin(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('BEGIN; SELECT pg_current_xact_id()');
  return client;
}

test('every state that a chain enters is a change, in order, with the cost so far; what changes no state is none', async () => {
  await settle();
  const start = await placeBefore(store);
  const id = await newChain();
  await markStarted(store, id, 'run');
  await markStarted(store, id, 'run');
  const scope = { chainId: id, firstRunId: 'run' };
  await openHold(store, scope, { holdId: 'h', kind: 'failure', reason: 'refusal', step: 's', call: 1, message: 'no' });
  await decideHold(store, scope, 'h', { verdict: 'retry', by: 'ann' });
  const attempt = await openAttempt(store, {
    ...{ chain_id: id, tenant: 'acme', first_run_id: 'run', run_id: 'run', step: 's', input_hash: 'i', occurrence: 1 },
    ...{ revision: 0, call: 1, round: 0, kind: 'call', spent: false, worker: 1, model: 'm', lane: 'fast' },
    ...{ quota_group: 'm', prompt_hash: 'p', request_id: null, reason: null, message: null, answer: null },
    ...{ input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_5m_tokens: 0, cache_write_1h_tokens: 0 },
    cost_micro_usd: null,
  });
  const bill = { usage: undefined, costMicroUsd: 700, requestId: 'r' };
  await succeedAttempt(store, attempt as number, {
    ...bill,
    tenant: 'acme',
    turns: [Buffer.from('turn')],
    result: '1',
  });
  await closeChain(store, id, { state: 'completed', output: '1' });
  const { rows } = await readOn(start);
  expect(rows.map(({ chain_id, state, cost_micro_usd }) => [chain_id, state, cost_micro_usd])).toEqual([
    [id, 'queued', 0],
    [id, 'running', 0],
    [id, 'held', 0],
    [id, 'running', 0],
    [id, 'completed', 700],
  ]);
  expect(rows[0]).toMatchObject({ type: 'analyzeDocument', tenant: 'acme', key: `key-${counter}` });
});

test('a change that is committed late is not passed over by changes that came after it', async () => {
  const [early, later] = [await newChain(), await newChain()];
  const { end: start } = await readOn(await placeBefore(store));
  const late = await begin();
  try {
    await late.query(`UPDATE chain SET state = 'running' WHERE id = $1`, [early]);
    await markStarted(store, later, 'run');
    const first = await readNow(start);
    // The later one is held back: it would take the reader past the one that nobody can see yet.
    expect(first.rows).toEqual([]);
    await late.query('COMMIT');
    const second = await readOn(first.end);
    expect(second.rows.map(({ chain_id, state }) => [chain_id, state])).toEqual([
      [early, 'running'],
      [later, 'running'],
    ]);
  } finally {
    await late.end();
  }
});

test('a change that is taken back is never read, and holds nothing up', async () => {
  const id = await newChain();
  const { end: start } = await readOn(await placeBefore(store));
  const undone = await begin();
  await undone.query(`UPDATE chain SET state = 'running' WHERE id = $1`, [id]);
  await undone.query('ROLLBACK');
  await undone.end();
  await closeChain(store, id, { state: 'cancelled' });
  expect(told((await readOn(start)).rows, id)).toEqual(['cancelled']);
});

test('the changes of one chain keep their order when an older transaction writes the later one', async () => {
  const id = await newChain();
  const { end: start } = await readOn(await placeBefore(store));
  const older = await begin();
  try {
    await markStarted(store, id, 'run');
    await older.query(`UPDATE chain SET state = 'held' WHERE id = $1`, [id]);
    await older.query('COMMIT');
  } finally {
    await older.end();
  }
  expect(told((await readOn(start)).rows, id)).toEqual(['running', 'held']);
});

test('since a time, everything comes that changed from then on, also what is open at the moment of asking', async () => {
  const before = await newChain();
  const { rows } = await store.pool.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  const id = await newChain();
  const late = await begin();
  try {
    await late.query(`UPDATE chain SET state = 'running' WHERE id = $1`, [before]);
    await markStarted(store, id, 'run');
    const place = await placeBefore(store, rows[0]?.now);
    await late.query('COMMIT');
    const read = await readOn(place);
    expect(told(read.rows, id)).toEqual(['queued', 'running']);
    expect(told(read.rows, before)).toEqual(['running']);
  } finally {
    await late.end();
  }
});

test('a place is known, trimmed, or of another database', async () => {
  await newChain();
  const { end } = await readOn(await placeBefore(store));
  expect(await checkPlace(store, end)).toBe('known');
  expect(await checkPlace(store, { ...end, seq: 0 })).toBe('trimmed');
  expect(await checkPlace(store, { position: end.position + 1_000_000, seq: 1 })).toBe('foreign');
});

test('a schema that is older or missing is refused by name, a newer one is used', async () => {
  await expect(requireSchema(store)).resolves.toBeUndefined();
  const bare = openStore(await createDatabase());
  const old = openStore(await createDatabase());
  try {
    await expect(requireSchema(bare).catch((error) => Promise.reject(bare.explain(error)))).rejects.toMatchObject({
      code: 'SCHEMA_VERSION',
      message: expect.stringContaining('no schema of Holdfast yet'),
    });
    await migrate(old);
    await old.pool.query(`DELETE FROM kysely_migration WHERE name = '0004-changes'`);
    await expect(requireSchema(old)).rejects.toMatchObject({
      code: 'SCHEMA_VERSION',
      message: expect.stringContaining('it lacks 0004-changes'),
    });
    await becomeNewer(old);
    await expect(migrate(old)).rejects.toMatchObject({ code: 'SCHEMA_VERSION' });
  } finally {
    await Promise.all([bare.close(), old.close()]);
  }
});

/** Leaves the database as a later version would: with a migration that this one does not know. */
async function becomeNewer(target: Store): Promise<void> {
  await target.pool.query(
    `INSERT INTO kysely_migration (name, timestamp) VALUES ('0004-changes', now()::text), ('9999-later', now()::text)`,
  );
  await expect(requireSchema(target)).resolves.toBeUndefined();
}
