import { randomUUID } from 'node:crypto';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eraseTenant, prune } from '../../src/client/prune.js';
import { linkTemporal, type TemporalLink } from '../../src/client/temporal-link.js';
import { startChain } from '../../src/intake/start-chain.js';
import { findSuccess, openAttempt, succeedAttempt } from '../../src/store/attempts.js';
import { addressOf, putBlobs } from '../../src/store/blobs.js';
import { closeChain, findChain, insertChain } from '../../src/store/chains.js';
import { encodeTurns, readConversation } from '../../src/store/conversations.js';
import { openStore, type Store } from '../../src/store/database.js';
import { openHold } from '../../src/store/holds.js';
import { migrate } from '../../src/store/migrate.js';
import { createPayloadCodec } from '../../src/store/payload-codec.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';

const DAY_MS = 86_400_000;
const MONTH = { olderThanMs: 30 * DAY_MS };

let environment: TestWorkflowEnvironment;
let store: Store;
let temporal: TemporalLink;

beforeAll(async () => {
  [environment, store] = await Promise.all([createDevServer(), createDatabase().then((url) => openStore(url))]);
  await migrate(store);
  temporal = linkTemporal({ address: environment.address, namespace: 'default' }, createPayloadCodec(store));
});
afterAll(async () => {
  await temporal?.close();
  await environment?.teardown();
  await store?.close();
});

/** A chain with a paid step whose conversation has two turns, and a hold. */
async function newChain(tenant: string, { key, input = '{}' }: { key?: string; input?: string } = {}) {
  const fields = {
    type: 'anything',
    tenant,
    priority: 'normal',
    contentHash: randomUUID(),
    namespace: 'default',
  } as const;
  const { row } = await insertChain(store, { ...fields, input, ...(key === undefined ? {} : { key }) });
  const scope = { chainId: row.id, firstRunId: `run-of-${row.id}` };
  const key_ = { ...scope, step: 's', inputHash: 'h', occurrence: 1, revision: 0 };
  const id = (await openAttempt(store, {
    ...{
      chain_id: row.id,
      tenant,
      first_run_id: scope.firstRunId,
      run_id: scope.firstRunId,
      step: 's',
      input_hash: 'h',
    },
    ...{
      occurrence: 1,
      revision: 0,
      call: 1,
      round: 1,
      kind: 'call',
      spent: false,
      worker: 1,
      model: 'm',
      lane: 'fast',
    },
    ...{ quota_group: 'default', prompt_hash: 'p', request_id: null, reason: null, message: null, input_tokens: 0 },
    ...{ output_tokens: 0, cache_read_tokens: 0, cache_write_5m_tokens: 0, cache_write_1h_tokens: 0 },
    ...{ cost_micro_usd: null, answer: null },
  } as Parameters<typeof openAttempt>[1])) as number;
  const turns = encodeTurns(undefined, [
    { role: 'user', content: [{ type: 'text', text: `question of ${row.id}` }] },
    { role: 'assistant', content: [{ type: 'text', text: 'answer' }] },
  ] as Parameters<typeof encodeTurns>[1]);
  await succeedAttempt(store, id, {
    ...{ tenant, turns: turns.bytes, result: JSON.stringify({ output: 'said', conversation: turns.last }) },
    ...{ usage: undefined, costMicroUsd: 42, requestId: 'r' },
  });
  await openHold(store, scope, {
    holdId: 's-1',
    kind: 'failure',
    reason: 'refusal',
    step: 's',
    call: 1,
    message: 'no',
  });
  return { id: row.id, scope, journal: key_, conversation: turns.last };
}

/** A chain that ended so many days ago; so old are its blobs. */
async function oldChain(tenant: string, days: number, options?: Parameters<typeof newChain>[1]) {
  const chain = await newChain(tenant, options);
  await closeChain(store, chain.id, { state: 'completed', output: '"done"' });
  const at = new Date(Date.now() - days * DAY_MS);
  await store.db.updateTable('chain').set({ created_at: at, closed_at: at }).where('id', '=', chain.id).execute();
  await ageBlobs(tenant, days);
  return chain;
}

async function ageBlobs(tenant: string, days: number): Promise<void> {
  const touched_at = new Date(Date.now() - days * DAY_MS);
  await store.db.updateTable('blob').set({ touched_at }).where('tenant', '=', tenant).execute();
}

async function countsOf(tenant: string) {
  const count = async (table: 'chain' | 'attempt' | 'blob') =>
    (await store.db.selectFrom(table).select('tenant').where('tenant', '=', tenant).execute()).length;
  return { chains: await count('chain'), attempts: await count('attempt'), blobs: await count('blob') };
}

describe('prune', () => {
  test('counts without changing anything, then deletes, and does nothing the second time', async () => {
    const tenant = randomUUID();
    await oldChain(tenant, 40);
    const recent = await newChain(tenant);
    await closeChain(store, recent.id, { state: 'failed' });
    const before = await countsOf(tenant);
    const counted = { chains: 1, attempts: 1, holds: 1, blobs: 2 };
    expect(await prune(store, temporal, { ...MONTH, tenant, dryRun: true })).toMatchObject({
      dryRun: true,
      ...counted,
    });
    expect(await countsOf(tenant)).toEqual(before);
    expect(await prune(store, temporal, { ...MONTH, tenant })).toMatchObject({ dryRun: false, ...counted });
    expect(await countsOf(tenant)).toEqual({ chains: 1, attempts: 1, blobs: 2 });
    const changes = await store.db.selectFrom('change').select('chain_id').where('tenant', '=', tenant).execute();
    expect(new Set(changes.map(({ chain_id }) => chain_id))).toEqual(new Set([recent.id]));
    expect(await findSuccess(store, recent.journal)).toBeDefined();
    expect(await readConversation(store, tenant, recent.conversation)).toHaveLength(2);
    expect(await prune(store, temporal, { ...MONTH, tenant })).toMatchObject({ chains: 0, attempts: 0, blobs: 0 });
  });

  test('keeps what is as young as the histories of Temporal, and says so', async () => {
    const tenant = randomUUID();
    await oldChain(tenant, 0.5);
    const report = await prune(store, temporal, { olderThanMs: 1_000, tenant });
    expect(report).toMatchObject({ chains: 0, notes: [expect.stringContaining('24 h in default')] });
  });

  test('leaves other tenants, other namespaces and open chains alone', async () => {
    const tenant = randomUUID();
    const foreign = await oldChain(tenant, 40);
    await store.db.updateTable('chain').set({ namespace: 'elsewhere' }).where('id', '=', foreign.id).execute();
    await newChain(tenant);
    await oldChain(`other ${tenant}`, 40);
    await ageBlobs(tenant, 40);
    expect(await prune(store, temporal, { ...MONTH, tenant })).toMatchObject({ chains: 0 });
    expect(await countsOf(tenant)).toMatchObject({ chains: 2 });
    expect(await countsOf(`other ${tenant}`)).toMatchObject({ chains: 1, blobs: 2 });
  });

  test('keeps the conversation of an open chain, however old it is, with all its turns', async () => {
    const tenant = randomUUID();
    const held = await newChain(tenant);
    await store.db
      .updateTable('chain')
      .set({ created_at: new Date(0) })
      .where('id', '=', held.id)
      .execute();
    await putBlobs(store.db, tenant, [Buffer.from('nobody refers to this')]);
    await ageBlobs(tenant, 400);
    expect(await prune(store, temporal, { ...MONTH, tenant })).toMatchObject({ blobs: 1 });
    expect(await readConversation(store, tenant, held.conversation)).toHaveLength(2);
  });

  test('keeps what the history of an open workflow refers to, although no row does', async () => {
    const tenant = randomUUID();
    const input = JSON.stringify({ document: 'x'.repeat(10_000) });
    const { row } = await insertChain(store, {
      ...{ type: 'anything', tenant, priority: 'normal', contentHash: randomUUID(), input, namespace: 'default' },
    } as Parameters<typeof insertChain>[1]);
    await temporal.use((client) => startChain(store, client, row));
    // As when it has been open for a year: its row no longer tells, only Temporal does.
    await store.db
      .updateTable('chain')
      .set({ created_at: new Date(0), input: null })
      .where('id', '=', row.id)
      .execute();
    await ageBlobs(tenant, 400);
    expect(await countsOf(tenant)).toMatchObject({ blobs: 1 });
    expect(await prune(store, temporal, { ...MONTH, tenant })).toMatchObject({ blobs: 0 });
    // Ended and deleted there, nothing refers to it any more.
    await environment.client.workflow.getHandle(row.id).terminate();
    await closeChain(store, row.id, { state: 'failed' });
    await store.db
      .updateTable('chain')
      .set({ closed_at: new Date(0) })
      .where('id', '=', row.id)
      .execute();
    expect(await prune(store, temporal, { ...MONTH, tenant })).toMatchObject({ chains: 1, blobs: 1 });
  });

  test('keeps receipts on request, without what was said, and the key goes on answering', async () => {
    const tenant = randomUUID();
    const contentHash = randomUUID();
    const { id } = await oldChain(tenant, 40, { key: 'k', input: '{"secret":1}' });
    await store.db.updateTable('chain').set({ content_hash: contentHash }).where('id', '=', id).execute();
    const options = { ...MONTH, tenant, keepReceipts: true };
    expect(await prune(store, temporal, options)).toMatchObject({ chains: 1, attempts: 1, blobs: 2 });
    expect(await findChain(store, id)).toMatchObject({ state: 'completed', input: null, output: null, key: 'k' });
    const attempts = await store.db.selectFrom('attempt').selectAll().where('chain_id', '=', id).execute();
    expect(attempts).toMatchObject([{ cost_micro_usd: 42, request_id: 'r', result: null }]);
    const again = {
      type: 'anything',
      tenant,
      priority: 'normal',
      key: 'k',
      contentHash,
      input: '{"secret":1}',
    } as const;
    expect(await insertChain(store, again)).toMatchObject({ duplicate: true, row: { id } });
    expect(await prune(store, temporal, options)).toMatchObject({ chains: 0 });
    expect(await prune(store, temporal, { ...MONTH, tenant })).toMatchObject({ chains: 1, attempts: 1 });
  });

  test('deletes no blob that somebody puts or continues meanwhile', async () => {
    const tenant = randomUUID();
    const bytes = Array.from({ length: 500 }, (_, n) => Buffer.from(`blob ${n} of ${tenant}`));
    await putBlobs(store.db, tenant, bytes);
    const { last, bytes: turns } = encodeTurns(undefined, [{ role: 'user', content: [] }]);
    await putBlobs(store.db, tenant, turns);
    await ageBlobs(tenant, 40);
    expect(await readConversation(store, tenant, last)).toHaveLength(1);
    // Whoever has put a blob finds it afterwards, whether pruning came before, at the same time or later.
    let pruning = true;
    const pruned = (async () => {
      for (let round = 0; round < 5; round += 1) {
        await prune(store, temporal, { ...MONTH, tenant });
      }
      pruning = false;
    })();
    const missing: string[] = [];
    // Each makes one old again that none of the others has.
    const put = async (some: Buffer[]): Promise<void> => {
      while (pruning) {
        await putBlobs(store.db, tenant, some);
        const found = await store.db
          .selectFrom('blob')
          .select('address')
          .where('tenant', '=', tenant)
          .where('address', 'in', some.map(addressOf))
          .execute();
        if (found.length < some.length) missing.push(`${found.length} of ${some.length}`);
        await ageOne(tenant, some[0] as Buffer);
      }
    };
    await Promise.all([
      pruned,
      put(bytes.slice(0, 20)),
      put([...bytes.slice(20, 30), ...bytes.slice(10, 20)]),
      put(bytes.slice(25, 60).reverse()),
    ]);
    expect(missing).toEqual([]);
    expect(await readConversation(store, tenant, last)).toHaveLength(1);
    expect((await countsOf(tenant)).blobs).toBeLessThan(80);
  });
});

/** Makes one blob old again, so that pruning and putting meet at it. */
async function ageOne(tenant: string, bytes: Buffer): Promise<void> {
  await store.db
    .updateTable('blob')
    .set({ touched_at: new Date(0) })
    .where('tenant', '=', tenant)
    .where('address', '=', addressOf(bytes))
    .execute();
}

describe('the erasure of a tenant', () => {
  const cancel = async (id: string) => {
    await closeChain(store, id, { state: 'cancelled' });
    return { state: 'cancelled' };
  };

  test('refuses while chains are open, cancels them on request, and takes everything, in Temporal too', async () => {
    const tenant = randomUUID();
    await oldChain(tenant, 1);
    const { row } = await insertChain(store, {
      ...{ type: 'anything', tenant, priority: 'normal', contentHash: randomUUID(), input: '{}', namespace: 'default' },
    } as Parameters<typeof insertChain>[1]);
    await temporal.use((client) => startChain(store, client, row));
    const before = await countsOf(tenant);
    await expect(eraseTenant(store, temporal, { tenant }, cancel)).rejects.toMatchObject({
      code: 'BAD_USAGE',
      message: expect.stringContaining(row.id),
    });
    expect(await eraseTenant(store, temporal, { tenant, dryRun: true }, cancel)).toMatchObject({
      chains: 1,
      blobs: 2,
      notes: [expect.stringContaining('1 of its chains are open')],
    });
    expect(await countsOf(tenant)).toEqual(before);
    const report = await eraseTenant(store, temporal, { tenant, cancelOpen: true }, cancel);
    expect(report).toMatchObject({ chains: 2, attempts: 1, blobs: 2, workflows: 1 });
    expect(report.blobBytes).toBeGreaterThan(0);
    expect(await countsOf(tenant)).toEqual({ chains: 0, attempts: 0, blobs: 0 });
    await expect
      .poll(() =>
        environment.client.workflow
          .getHandle(row.id)
          .describe()
          .catch((error: Error) => error.name),
      )
      .toBe('WorkflowNotFoundError');
    expect(await eraseTenant(store, temporal, { tenant }, cancel)).toMatchObject({ chains: 0, workflows: 0 });
  });

  test('with receipts forgets the key and keeps the costs', async () => {
    const tenant = randomUUID();
    const { id } = await oldChain(tenant, 1, { key: 'ann@example.org' });
    await eraseTenant(store, temporal, { tenant, keepReceipts: true }, cancel);
    expect(await findChain(store, id)).toMatchObject({ key: null, content_hash: null, output: null });
    expect(await countsOf(tenant)).toEqual({ chains: 1, attempts: 1, blobs: 0 });
  });

  test('stops when a chain is submitted meanwhile, and leaves that one its blobs', async () => {
    const tenant = randomUUID();
    await oldChain(tenant, 1);
    await newChain(`other ${tenant}`);
    let submitted: Awaited<ReturnType<typeof newChain>> | undefined;
    const use: TemporalLink = {
      ...temporal,
      use: async (run) => {
        submitted ??= await newChain(tenant);
        return temporal.use(run);
      },
    };
    await expect(eraseTenant(store, use, { tenant }, cancel)).rejects.toMatchObject({ code: 'FAILED' });
    expect(await readConversation(store, tenant, (submitted as { conversation: string }).conversation)).toHaveLength(2);
    expect(await countsOf(`other ${tenant}`)).toMatchObject({ chains: 1, blobs: 2 });
  });
});
