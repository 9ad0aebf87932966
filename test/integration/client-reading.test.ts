import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal, type TemporalLink } from '../../src/client/temporal-link.js';
import type { ChainChange } from '../../src/client/watch-chains.js';
import { openAttempt, succeedAttempt } from '../../src/store/attempts.js';
import { closeChain, insertChain, markStarted } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { migrate } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';

// Without Temporal: what is read here is in the records.

let store: Store;
let temporal: TemporalLink;
let client: HoldfastClient;

beforeAll(async () => {
  store = openStore(await createDatabase());
  await migrate(store);
  temporal = linkTemporal({ address: null, namespace: 'default' });
  const app = { chains: { echo: { input: z.unknown(), steps: [] } }, steps: {}, workflowsPath: '' };
  const limits = { maxInputBytes: 10_000, contextWindowOf: () => null };
  client = new HoldfastClient({ store, temporal, app, limits });
});
afterAll(async () => {
  await temporal?.close();
  await store?.close();
});

let counter = 0;
/** A chain of a tenant with one paid attempt, completed. */
async function completed(tenant: string): Promise<string> {
  counter += 1;
  const chain = {
    type: 'echo',
    tenant,
    priority: 'normal',
    contentHash: `c${counter}`,
    input: '1',
    title: 'T',
  } as const;
  const { row } = await insertChain(store, chain);
  await markStarted(store, row.id, 'run');
  const attempt = await openAttempt(store, {
    ...{ chain_id: row.id, tenant, first_run_id: 'run', run_id: 'run', step: 's', input_hash: 'i', occurrence: 1 },
    ...{ revision: 0, call: 1, round: 0, kind: 'call', spent: false, worker: 1, model: 'm', lane: 'fast' },
    ...{ quota_group: 'm', prompt_hash: 'p', request_id: null, reason: null, message: null, answer: null },
    ...{ input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_5m_tokens: 0, cache_write_1h_tokens: 0 },
    cost_micro_usd: null,
  });
  const bill = { usage: undefined, costMicroUsd: 700, requestId: 'req' };
  await succeedAttempt(store, attempt as number, { ...bill, tenant, turns: [Buffer.from('turn')], result: '1' });
  await closeChain(store, row.id, { state: 'completed', output: '"done"' });
  return row.id;
}

test('lists the newest chains first, by tenant, chain, state and limit', async () => {
  const [first, second] = [await completed('lists'), await completed('lists')];
  const { id: queued } = await client.submit({ chain: 'echo', input: 'q', tenant: 'lists' });
  const all = await client.list({ tenant: 'lists' });
  expect(all.map(({ id, costMicroUsd }) => [id, costMicroUsd])).toEqual([
    [queued, 0],
    [second, 700],
    [first, 700],
  ]);
  expect(all[1]).toMatchObject({ chain: 'echo', tenant: 'lists', title: 'T', state: 'completed', key: null });
  expect((await client.list({ tenant: 'lists', state: 'queued' })).map(({ id }) => id)).toEqual([queued]);
  expect((await client.list({ tenant: 'lists', chain: 'echo', limit: 1 })).map(({ id }) => id)).toEqual([queued]);
  expect(await client.list({ tenant: 'lists', chain: 'other' })).toEqual([]);
  await expect(client.list({ state: 'stuck' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  await expect(client.list({ limit: Number.NaN })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
});

test('gives the output of a completed chain only', async () => {
  expect(await client.result(await completed('results'))).toBe('done');
  const { id } = await client.submit({ chain: 'echo', input: 'r', tenant: 'results' });
  await expect(client.result(id)).rejects.toMatchObject({
    code: 'NOT_FINISHED',
    message: expect.stringContaining('queued'),
  });
  await client.cancel(id);
  await expect(client.result(id)).rejects.toMatchObject({
    code: 'FAILED',
    message: expect.stringContaining('cancelled'),
  });
  await expect(client.result('nothing')).rejects.toMatchObject({ code: 'CHAIN_NOT_FOUND' });
});

test('gives a receipt per attempt, by tenant and time', async () => {
  const id = await completed('receipts');
  const receipts = [];
  for await (const receipt of client.receipts({ tenant: 'receipts', since: '1h' })) receipts.push(receipt);
  expect(receipts).toEqual([
    expect.objectContaining({ chainId: id, chain: 'echo', step: 's', call: 1, attempt: 1, requestId: 'req' }),
  ]);
  expect(receipts[0]).toMatchObject({ promptHash: 'p', costMicroUsd: 700, state: 'succeeded', fromJournal: false });
  for await (const _ of client.receipts({ tenant: 'receipts', since: '2999-01-01' })) expect.unreachable();
  const wrong = client.receipts({ since: 'yesterday' })[Symbol.asyncIterator]();
  await expect(wrong.next()).rejects.toMatchObject({ code: 'INVALID_INPUT' });
});

test('watches since a time, goes on at every cursor with the next change, and ends with its signal', async () => {
  const id = await completed('watched');
  const read = async (since: string, count: number): Promise<ChainChange[]> => {
    const stop = new AbortController();
    const changes: ChainChange[] = [];
    for await (const change of client.watch({ tenant: 'watched', since, signal: stop.signal })) {
      changes.push(change);
      if (changes.length === count) stop.abort();
    }
    return changes;
  };
  const all = await read('1h', 3);
  expect(all.map(({ id: of, state, costMicroUsd }) => [of, state, costMicroUsd])).toEqual([
    [id, 'queued', 0],
    [id, 'running', 0],
    [id, 'completed', 700],
  ]);
  expect(await read(all[0]?.cursor as string, 2)).toEqual(all.slice(1));
  expect(await read(all[1]?.cursor as string, 1)).toEqual(all.slice(2));
  for (const since of ['900000000000.1', 'soon']) {
    await expect(read(since, 1)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  }
});
