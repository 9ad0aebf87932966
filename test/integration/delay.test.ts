import { randomUUID } from 'node:crypto';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal, type TemporalLink } from '../../src/client/temporal-link.js';
import { sweep } from '../../src/intake/sweep.js';
import type { Submission } from '../../src/intake/validate.js';
import { type ChainRow, ensureChain, findChain, takeOpenChains } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { renderStoreMetrics } from '../../src/store/metrics.js';
import { migrate } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';

// No worker runs here, so that nothing of these chains can begin.

const HOUR_MS = 3_600_000;
let environment: TestWorkflowEnvironment;
let store: Store;
const links: TemporalLink[] = [];

beforeAll(async () => {
  [environment, store] = await Promise.all([createDevServer(), createDatabase().then((url) => openStore(url))]);
  await migrate(store);
});
afterAll(async () => {
  for (const link of links) await link.close();
  await environment?.teardown();
  await store?.close();
});

function clientOf(address: string | null = environment.address): HoldfastClient {
  const temporal = linkTemporal({ address, namespace: 'default' });
  links.push(temporal);
  const app = { chains: { echo: { input: z.unknown(), steps: [] } }, steps: {}, workflowsPath: '' };
  const limits = { maxInputBytes: 1_000_000, contextWindowOf: () => null };
  return new HoldfastClient({ store, temporal, app, limits });
}

const submission = (more: Partial<Submission> = {}): Submission => ({ chain: 'echo', input: randomUUID(), ...more });
const inFuture = (ms: number): string => new Date(Date.now() + ms).toISOString();
const describeWorkflow = (id: string) => environment.client.workflow.getHandle(id).describe();

describe('a chain that is submitted for later', () => {
  test('is queued until its time, which status and list tell, and its workflow waits in Temporal', async () => {
    const client = clientOf();
    const at = inFuture(HOUR_MS);
    const { id, ...submitted } = await client.submit(submission({ at, tenant: 'acme', priority: 'high' }));
    expect(submitted).toEqual({ duplicate: false, state: 'queued', startsAt: at });
    expect(await client.status(id)).toMatchObject({ state: 'queued', startsAt: at, tenant: 'acme', priority: 'high' });
    expect(await client.list({ tenant: 'acme' })).toMatchObject([{ id, state: 'queued', startsAt: at }]);
    const { executionTime, raw } = await describeWorkflow(id);
    expect(Math.abs((executionTime as Date).getTime() - Date.parse(at))).toBeLessThan(5_000);
    expect(raw.workflowExecutionInfo?.priority).toMatchObject({ priorityKey: 1, fairnessKey: 'acme' });
  });

  test('takes an offset, and a delay in seconds, minutes, hours or days', async () => {
    const client = clientOf();
    const local = inFuture(HOUR_MS).replace('Z', '+00:00');
    expect(await client.submit(submission({ at: local }))).toMatchObject({ startsAt: local.replace('+00:00', 'Z') });
    for (const [delay, ms] of [
      ['3600s', HOUR_MS],
      ['90m', 1.5 * HOUR_MS],
      ['2h', 2 * HOUR_MS],
      ['1d', 24 * HOUR_MS],
    ] as const) {
      const { startsAt } = await client.submit(submission({ delay }));
      expect(Math.abs(Date.parse(startsAt as string) - Date.now() - ms)).toBeLessThan(60_000);
    }
  });

  test('is joined like any other, and the answer tells its time', async () => {
    const client = clientOf();
    const at = inFuture(HOUR_MS);
    const keyed = await client.submit(submission({ input: 1, key: 'k', at }));
    const again = await client.submit(submission({ input: 1, key: 'k', at: inFuture(2 * HOUR_MS) }));
    expect(again).toEqual({ id: keyed.id, duplicate: true, state: 'queued', startsAt: at });
    await expect(client.submit(submission({ input: 2, key: 'k', at }))).rejects.toMatchObject({ code: 'KEY_CONFLICT' });
    const plain = await client.submit(submission({ input: 'same', delay: '1h' }));
    expect(await client.submit(submission({ input: 'same' }))).toMatchObject({ id: plain.id, duplicate: true });
  });

  test('can be asked for once more after its time, by its key', async () => {
    const client = clientOf();
    const first = await client.submit(submission({ input: 3, key: 'late', delay: '1h' }));
    const passed = submission({ input: 3, key: 'late', at: inFuture(-HOUR_MS) });
    expect(await client.submit(passed)).toMatchObject({ id: first.id, duplicate: true });
    await expect(client.submit({ ...passed, key: 'new' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  test('that is cancelled leaves no workflow behind', async () => {
    const client = clientOf();
    const { id } = await client.submit(submission({ delay: '1h' }));
    expect(await client.cancel(id)).toEqual({ id, state: 'cancelled' });
    expect((await describeWorkflow(id)).status.name).toBe('TERMINATED');
    expect(await client.status(id)).toMatchObject({ state: 'cancelled', startsAt: null });
    expect(await client.reconcile()).toEqual([]);
  });

  test('is no difference between the records and Temporal, and its row can be written anew', async () => {
    const client = clientOf();
    const at = inFuture(HOUR_MS);
    const { id } = await client.submit(submission({ key: 'lost', at }));
    await expect.poll(() => environment.client.workflow.count(`WorkflowId = "${id}"`)).toMatchObject({ count: 1 });
    expect((await client.reconcile()).filter((difference) => difference.id === id)).toEqual([]);
    await store.db.deleteFrom('chain').where('id', '=', id).execute();
    await client.reconcile({ fix: true });
    expect(await findChain(store, id)).toMatchObject({ state: 'queued', key: 'lost', first_run_id: null });
    const { startsAt } = await client.status(id);
    expect(Math.abs(Date.parse(startsAt as string) - Date.parse(at))).toBeLessThan(5_000);
  });

  test('does not look late to whoever watches the queue', async () => {
    await store.db.updateTable('chain').set({ closed_at: new Date() }).where('closed_at', 'is', null).execute();
    const { id } = await clientOf().submit(submission({ delay: '1h' }));
    await store.db
      .updateTable('chain')
      .set({ created_at: new Date(Date.now() - HOUR_MS) })
      .where('id', '=', id)
      .execute();
    expect(await renderStoreMetrics(store)).toMatch(/^holdfast_oldest_queued_chain_seconds 0$/m);
  });
});

describe('without Temporal at its submission', () => {
  async function abandoned(delay: string): Promise<string> {
    const { id, warning } = await clientOf(null).submit(submission({ delay }));
    expect(warning).toContain('is queued');
    const created_at = new Date(Date.now() - 60_000);
    await store.db.updateTable('chain').set({ created_at }).where('id', '=', id).execute();
    return id;
  }

  test('it is started by the sweeper for the time that is left, and then left alone until that has come', async () => {
    const id = await abandoned('1h');
    await sweep(store, environment.client);
    const row = (await findChain(store, id)) as ChainRow;
    expect(row).toMatchObject({ state: 'queued', first_run_id: null, checked_at: row.start_at });
    const { executionTime } = await describeWorkflow(id);
    expect(Math.abs((executionTime as Date).getTime() - (row.start_at as Date).getTime())).toBeLessThan(5_000);
    expect((await takeOpenChains(store, 'queued', 'default', 100)).map((chain) => chain.id)).not.toContain(id);
  });

  test('it is started at once when its time has passed', async () => {
    const id = await abandoned('1h');
    await store.db
      .updateTable('chain')
      .set({ start_at: new Date(Date.now() - 10_000) })
      .where('id', '=', id)
      .execute();
    await sweep(store, environment.client);
    expect(await findChain(store, id)).toMatchObject({ state: 'running' });
    const { executionTime, startTime } = await describeWorkflow(id);
    expect((executionTime ?? startTime).getTime()).toBe(startTime.getTime());
  });

  test('it begins when its first step asks for its row', async () => {
    const id = await abandoned('1h');
    const own = { id, type: 'echo', firstRunId: 'r', runId: 'r', namespace: 'default' };
    expect(await ensureChain(store, own)).toMatchObject({ state: 'running', first_run_id: 'r' });
    expect(await clientOf().status(id)).toMatchObject({ startsAt: null });
  });
});

test.each([
  ['a time and a delay', { at: '2999-01-01T00:00:00Z', delay: '1h' }, 'exclude each other'],
  ['a time that has passed', { at: '2020-01-01T00:00:00Z' }, 'has passed'],
  ['a time without an offset', { at: '2999-01-01T00:00:00' }, 'no point in time'],
  ['a day that there is not', { at: '2027-02-31T00:00:00Z' }, 'no point in time'],
  ['words', { at: 'tomorrow' }, 'no point in time'],
  ['a delay of nothing', { delay: '0s' }, 'no length of time'],
  ['a delay below nothing', { delay: '-5m' }, 'no length of time'],
  ['a delay without a unit', { delay: '10' }, 'no length of time'],
  ['a delay of more than ten years', { delay: '3654d' }, 'more than ten years'],
  ['a delay beyond every date', { delay: `${'9'.repeat(400)}d` }, 'more than ten years'],
  ['a time more than ten years ahead', { at: '2099-01-01T00:00:00Z' }, 'more than ten years'],
])('%s is refused, and nothing is written', async (_, time, message) => {
  const input = randomUUID();
  const refusal = { code: 'INVALID_INPUT', message: expect.stringContaining(message) };
  await expect(clientOf().submit({ chain: 'echo', input, ...time })).rejects.toMatchObject(refusal);
  expect(await store.db.selectFrom('chain').select('id').where('input', '=', JSON.stringify(input)).execute()).toEqual(
    [],
  );
});
