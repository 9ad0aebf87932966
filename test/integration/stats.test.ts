import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Insertable } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal, type TemporalLink } from '../../src/client/temporal-link.js';
import { modelTaskQueue } from '../../src/contracts/queues.js';
import { DEFAULT_QUOTA } from '../../src/contracts/quotas.js';
import { closeChain, insertChain, markStarted } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { decideHold, openHold } from '../../src/store/holds.js';
import { renderStoreMetrics } from '../../src/store/metrics.js';
import { migrate } from '../../src/store/migrate.js';
import { claimQuota, closeQuota, configureQuota } from '../../src/store/quotas.js';
import type { AttemptTable } from '../../src/store/schema.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';

const MINUTE_MS = 60_000;
let environment: TestWorkflowEnvironment;
let store: Store;
let temporal: TemporalLink;
let client: HoldfastClient;

const clientOf = (link: TemporalLink) =>
  new HoldfastClient({
    store,
    temporal: link,
    app: { chains: {}, steps: {}, workflowsPath: '' },
    limits: { maxInputBytes: 1, contextWindowOf: () => null },
  });

beforeAll(async () => {
  environment = await createDevServer();
});
beforeEach(async () => {
  await temporal?.close();
  await store?.close();
  store = openStore(await createDatabase());
  await migrate(store);
  temporal = linkTemporal({ address: environment.address, namespace: 'default' });
  client = clientOf(temporal);
});
afterAll(async () => {
  await temporal?.close();
  await environment?.teardown();
  await store?.close();
});

let count = 0;
const ago = (ms: number): Date => new Date(Date.now() - ms);

/** A chain that began ten minutes ago. */
async function begun(tenant = 'acme', type = 'report'): Promise<string> {
  count += 1;
  const chain = { type, tenant, priority: 'normal', contentHash: `${count}`, input: '1' } as const;
  const { row } = await insertChain(store, chain);
  await markStarted(store, row.id, 'run');
  await change(row.id, { created_at: ago(10 * MINUTE_MS) });
  return row.id;
}

const change = (id: string, columns: object) =>
  store.db.updateTable('chain').set(columns).where('id', '=', id).execute();

/** Ends a chain so long after its submission. */
async function end(id: string, state: 'completed' | 'failed' | 'cancelled', seconds = 60): Promise<void> {
  await closeChain(store, id, { state });
  await change(id, { closed_at: ago(10 * MINUTE_MS - seconds * 1_000) });
}

async function attempt(chain_id: string, more: Partial<Insertable<AttemptTable>>, tenant = 'acme'): Promise<void> {
  await store.db
    .insertInto('attempt')
    .values({
      ...{ chain_id, tenant, first_run_id: 'run', run_id: 'run', step: 'write', input_hash: 'i', occurrence: 0 },
      ...{ revision: 0, call: 1, round: 0, kind: 'call', state: 'succeeded', spent: false, worker: 1, model: 'm' },
      ...{ lane: 'fast', quota_group: 'sonnet', prompt_hash: 'p', request_id: null, reason: null, message: null },
      ...{ input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_5m_tokens: 0 },
      ...{ cache_write_1h_tokens: 0, cost_micro_usd: null, answer: null, result: '1' },
      started_at: ago(10 * MINUTE_MS),
      finished_at: ago(9 * MINUTE_MS),
      ...more,
    } as never)
    .execute();
}

describe('stats', () => {
  test('of an installation that has done nothing has no rates instead of wrong ones', async () => {
    expect(await client.stats()).toMatchObject({
      ...{ open: [], quotas: [], queues: [], chains: [], steps: [], tenants: [], approvals: [], retryRate: null },
      deadLetters: { opened: 0, rate: null },
    });
    await expect(client.stats({ since: 'yesterday' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  test('count how chains ended, how long they took from the time when they were to start, and what they cost', async () => {
    const [first, second, failed, cancelled, old, later] = [
      await begun(),
      await begun(),
      await begun(),
      await begun(),
      await begun(),
      await begun('acme', 'later'),
    ] as [string, string, string, string, string, string];
    await attempt(first, { cost_micro_usd: 300 });
    await attempt(first, { step: 'check', cost_micro_usd: 100 });
    await attempt(first, { kind: 'reuse', cost_micro_usd: 1_000_000 });
    await attempt(second, { cost_micro_usd: 200 });
    await attempt(failed, { state: 'failed', reason: 'refusal', cost_micro_usd: 900 });
    await end(first, 'completed', 60);
    await end(second, 'completed', 120);
    await end(failed, 'failed');
    await end(cancelled, 'cancelled');
    await end(old, 'failed');
    await change(old, { closed_at: ago(2 * 60 * MINUTE_MS) });
    await change(later, { start_at: ago(9 * MINUTE_MS) });
    await end(later, 'completed', 90);
    const { chains } = await client.stats({ since: '1h' });
    expect(chains.map(({ latency: _, ...chain }) => chain)).toEqual([
      { chain: 'later', completed: 1, failed: 0, cancelled: 0, successRate: 1, costPerCompletedMicroUsd: null },
      { chain: 'report', completed: 2, failed: 1, cancelled: 1, successRate: 2 / 3, costPerCompletedMicroUsd: 300 },
    ]);
    expect(chains[0]?.latency?.p50Seconds).toBeCloseTo(30, 0);
    expect(chains[1]?.latency?.p50Seconds).toBeCloseTo(90, 0);
    expect(chains[1]?.latency?.p95Seconds).toBeCloseTo(117, 0);
    expect((await client.stats({ since: '1m' })).chains).toEqual([]);
  });

  test('count retries of steps, tokens of tenants and what was used of a quota, without what the journal answered', async () => {
    const [mine, theirs] = [await begun('acme'), await begun('globex')];
    await attempt(mine, { state: 'failed', reason: 'rate_limit', finished_at: ago(9.5 * MINUTE_MS) });
    await attempt(mine, { input_tokens: 200, output_tokens: 100, cache_read_tokens: 300, cache_write_5m_tokens: 150 });
    await attempt(mine, { call: 2, input_tokens: 50, finished_at: ago(8 * MINUTE_MS) });
    await attempt(mine, { kind: 'reuse', input_tokens: 1_000_000 });
    await attempt(mine, { call: 3, input_tokens: 7, started_at: ago(2 * 60 * MINUTE_MS) });
    await attempt(theirs, { input_tokens: 200 }, 'globex');
    await configureQuota(store, 'sonnet', DEFAULT_QUOTA);
    const stats = await client.stats();
    expect(stats.retryRate).toBe(1 / 4);
    expect(stats.steps).toMatchObject([{ step: 'write', calls: 3, attempts: 4, retryRate: 1 / 4 }]);
    expect(stats.steps[0]?.latency?.p50Seconds).toBeCloseTo(60, 0);
    expect(stats.tenants).toEqual([
      { tenant: 'acme', tokens: 800, share: 0.8 },
      { tenant: 'globex', tokens: 200, share: 0.2 },
    ]);
    expect(stats.quotas[0]?.used).toEqual({ requests: 4, inputTokens: 600, outputTokens: 100, refused: 1 });
  });

  test('count dead letters and what people decided', async () => {
    const [dead, asked, fine] = [await begun(), await begun(), await begun()];
    const scope = (chainId: string) => ({ chainId, firstRunId: 'run' });
    const failure = { kind: 'failure', reason: 'refusal', step: 'write', message: 'no' } as const;
    await openHold(store, scope(dead), { ...failure, holdId: 'write-1', call: 1 });
    await openHold(store, scope(dead), { ...failure, holdId: 'write-2', call: 2 });
    const approval = { kind: 'approval', reason: 'approval', step: 'mail', message: '' } as const;
    for (const call of [1, 2, 3, 4]) {
      await openHold(store, scope(asked), { ...approval, holdId: `mail-${call}`, call } as never);
      if (call === 4) continue;
      await decideHold(store, scope(asked), `mail-${call}`, { verdict: call === 3 ? 'reject' : 'approve', by: 'ann' });
    }
    await end(fine, 'completed');
    const stats = await client.stats();
    expect(stats.deadLetters).toEqual({ opened: 2, rate: 1 / 2 });
    expect(stats.approvals).toEqual([{ category: 'mail', approved: 2, rejected: 1, rate: 2 / 3 }]);
    expect(stats.open).toMatchObject([{ state: 'held', chains: 2 }]);
    expect(stats.open[0]?.oldestSeconds).toBeCloseTo(600, -1);
  });

  test('tell limits, levels, reservations, waiters and the closing of a quota group', async () => {
    const limits = {
      ...DEFAULT_QUOTA,
      requestsPerMinute: 600,
      inputTokensPerMinute: 60_000,
      outputTokensPerMinute: 6_000,
    };
    await configureQuota(store, 'sonnet', limits);
    const place = { group: 'sonnet', chain: 'c', step: 's', call: 1, worker: 1, ownPriority: false, begun: false };
    await claimQuota(store, { ...place, rank: 1, input: 4_000, output: 400 });
    await claimQuota(store, { ...place, rank: 1, input: 4_000, output: 400 });
    await claimQuota(store, { ...place, rank: 2, input: 1, output: 1 });
    const [quota] = (await client.stats()).quotas;
    expect(quota).toMatchObject({
      group: 'sonnet',
      limits: { requests: 600, inputTokens: 60_000, outputTokens: 6_000 },
      reserved: { requests: 1, inputTokens: 4_000, outputTokens: 400 },
      ...{ refused: 0, closedUntil: null },
      waiting: [
        { priority: 'normal', calls: 1 },
        { priority: 'low', calls: 1 },
      ],
    });
    // What was there at first, less the reservation, and what has flowed in since.
    expect(quota?.level.inputTokens).toBeGreaterThanOrEqual(750);
    expect(quota?.level.inputTokens).toBeLessThanOrEqual(4_750);
    await closeQuota(store, 'sonnet', MINUTE_MS);
    const [closed] = (await client.stats()).quotas;
    expect(closed).toMatchObject({ refused: 1, closedUntil: expect.any(String) });
    expect(closed?.level.inputTokens).toBeLessThanOrEqual(0);
    const metrics = await renderStoreMetrics(store);
    expect(metrics).toContain('holdfast_quota_limit_per_minute{quota_group="sonnet",resource="input_tokens"} 60000');
    expect(metrics).toContain('holdfast_quota_refused_total{quota_group="sonnet"} 1');
    expect(metrics).toContain('holdfast_quota_waiting_calls{quota_group="sonnet",priority="low"} 1');
    expect(metrics).toMatch(/holdfast_quota_closed_seconds\{quota_group="sonnet"\} [45]\d\./);
  });

  test('tell what waits in the queues of Temporal by lane and class, and do without while it is away', async () => {
    await configureQuota(store, 'sonnet', DEFAULT_QUOTA);
    const { client: bare } = environment;
    for (const priorityKey of [1, 2, 3]) {
      await bare.activity.start('anything', {
        id: `waiting-${priorityKey}`,
        taskQueue: modelTaskQueue('sonnet', 'heavy'),
        startToCloseTimeout: '1 minute',
        priority: { priorityKey },
        args: [],
      });
    }
    const heavy = async () =>
      (await client.stats()).queues
        ?.filter(({ lane }) => lane === 'heavy')
        .map(({ priority, depth }) => [priority, depth]);
    // Temporal's answer may be some seconds old.
    await expect.poll(heavy, { timeout: 20_000 }).toEqual([
      ['high', 1],
      ['normal', 2],
      ['low', 0],
    ]);
    const nowhere = linkTemporal({ address: null, namespace: 'default' });
    expect(await clientOf(nowhere).stats()).toMatchObject({ queues: null, quotas: [{ group: 'sonnet' }] });
  });
});
