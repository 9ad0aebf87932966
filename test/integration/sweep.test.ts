import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { startChain } from '../../src/intake/start-chain.js';
import { sweep } from '../../src/intake/sweep.js';
import { closeChain, findChain, insertChain, markStarted } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { decideHold, openHold } from '../../src/store/holds.js';
import { migrate } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';

let environment: TestWorkflowEnvironment;
let store: Store;

beforeAll(async () => {
  [environment, store] = await Promise.all([createDevServer(), createDatabase().then((url) => openStore(url))]);
  await migrate(store);
});
afterAll(async () => {
  await environment?.teardown();
  await store?.close();
});

/** A queued chain whose submitter went away some time ago. */
async function abandoned(input = '{}', namespace = 'default'): Promise<string> {
  const fields = { type: 'anything', tenant: 'acme', priority: 'normal', contentHash: randomUUID() } as const;
  const chain = { ...fields, input, namespace };
  const { row } = await insertChain(store, chain);
  const created_at = new Date(Date.now() - 60_000);
  await store.db.updateTable('chain').set({ created_at }).where('id', '=', row.id).execute();
  return row.id;
}

const started = async (id: string): Promise<string> => {
  const { runId } = await environment.client.workflow.getHandle(id).describe();
  await store.db
    .updateTable('chain')
    .set({ started_at: new Date(Date.now() - 60_000) })
    .where('id', '=', id)
    .execute();
  return runId;
};

describe('a sweep', () => {
  test('starts chains whose submitter went away, once, and leaves those that are being submitted', async () => {
    const id = await abandoned();
    const fresh = await insertChain(store, {
      ...{ type: 'anything', tenant: 'acme', priority: 'normal', contentHash: randomUUID(), input: '{}' },
    } as Parameters<typeof insertChain>[1]);
    expect(await sweep(store, environment.client)).toMatchObject({ started: 1, problems: [] });
    expect(await findChain(store, id)).toMatchObject({ state: 'running', first_run_id: await started(id) });
    expect(await findChain(store, fresh.row.id)).toMatchObject({ state: 'queued' });
    await closeChain(store, fresh.row.id, { state: 'cancelled' });
  });

  test('names the chain that Temporal refuses, and starts the others', async () => {
    // Over the 2 MB that Temporal takes, and without our codec.
    const refused = await abandoned(JSON.stringify('x'.repeat(3_000_000)));
    const others = await Promise.all([abandoned(), abandoned(), abandoned()]);
    const report = await sweep(store, environment.client);
    expect(report.started).toBe(3);
    expect(report.problems).toEqual([expect.stringContaining(refused)]);
    expect(await findChain(store, refused)).toMatchObject({
      state: 'queued',
      message: expect.stringContaining('not be started'),
    });
    for (const id of others) expect(await findChain(store, id)).toMatchObject({ state: 'running' });
    await closeChain(store, refused, { state: 'cancelled' });
  });

  test('closes the rows of chains that were terminated, with the reason', async () => {
    const id = await abandoned();
    await sweep(store, environment.client);
    const runId = await started(id);
    await environment.client.workflow.getHandle(id).terminate('no longer wanted');
    await expect
      .poll(async () => {
        await store.db.updateTable('chain').set({ checked_at: null }).execute();
        await sweep(store, environment.client);
        return (await findChain(store, id))?.state;
      })
      .not.toBe('running');
    expect(await findChain(store, id)).toMatchObject({
      state: 'failed',
      message: 'Terminated in Temporal: no longer wanted.',
      closed_run_id: runId,
    });
  });

  test('leaves chains open that Temporal does not know: it may be the wrong Temporal', async () => {
    const id = await abandoned();
    await markStarted(store, id, 'a run that Temporal forgot');
    await store.db
      .updateTable('chain')
      .set({ started_at: new Date(Date.now() - 60_000) })
      .where('id', '=', id)
      .execute();
    await sweep(store, environment.client);
    expect(await findChain(store, id)).toMatchObject({ state: 'running', closed_at: null });
  });

  test('leaves chains of other namespaces alone', async () => {
    const id = await abandoned('{}', 'elsewhere');
    await sweep(store, environment.client);
    expect(await findChain(store, id)).toMatchObject({ state: 'queued', checked_at: null });
  });

  test('ends with the first sign that Temporal is away, and when it is told to', async () => {
    for (let n = 0; n < 5; n += 1) await abandoned();
    const connection = Connection.lazy({ address: '127.0.0.1:1' });
    const report = await sweep(store, new Client({ connection }));
    await connection.close();
    expect(report.problems).toEqual([expect.stringContaining('Temporal cannot be reached')]);
    await store.db.updateTable('chain').set({ checked_at: null }).execute();
    expect(await sweep(store, environment.client, AbortSignal.abort())).toMatchObject({ started: 0, problems: [] });
    await store.db.updateTable('chain').set({ checked_at: null }).execute();
    expect(await sweep(store, environment.client)).toMatchObject({ started: 5, problems: [] });
  });

  test('stops a chain that was cancelled at the very moment in which it was started', async () => {
    const id = await abandoned();
    const { client } = environment;
    // Between the look at the row and the start of the workflow.
    const workflow = Object.create(client.workflow, {
      start: {
        value: async (...args: Parameters<typeof client.workflow.start>) => {
          await closeChain(store, id, { state: 'cancelled' }, { onlyIfQueued: true });
          return client.workflow.start(...args);
        },
      },
    });
    await startChain(store, Object.create(client, { workflow: { value: workflow } }), await findChain(store, id));
    expect(await findChain(store, id)).toMatchObject({ state: 'cancelled', first_run_id: null });
    const { raw } = await client.workflow.getHandle(id).describe();
    expect(raw.workflowExtendedInfo?.cancelRequested).toBe(true);
    expect(await startChain(store, client, await findChain(store, id))).toBeUndefined();
  });

  test('sends decisions that did not arrive', async () => {
    const id = await abandoned();
    await sweep(store, environment.client);
    const scope = { chainId: id, firstRunId: await started(id) };
    const hold = { holdId: 's-1', kind: 'failure', reason: 'refusal', step: 's', call: 1, message: 'no' } as const;
    await openHold(store, scope, hold);
    await decideHold(store, scope, 's-1', { verdict: 'retry', by: 'ann' });
    await store.db
      .updateTable('hold')
      .set({ decided_at: new Date(0) })
      .where('chain_id', '=', id)
      .execute();
    expect(await sweep(store, environment.client)).toMatchObject({ sent: 1 });
    const { events } = await environment.client.workflow.getHandle(id).fetchHistory();
    expect(
      events?.some((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'holdfast_decide'),
    ).toBe(true);
  });
});

describe('a link to Temporal', () => {
  test('cancels a chain about which that was decided while Temporal was away', async () => {
    const id = await abandoned();
    await sweep(store, environment.client);
    const scope = { chainId: id, firstRunId: await started(id) };
    const hold = { kind: 'failure', reason: 'refusal', step: 's', call: 1, message: 'no' } as const;
    await openHold(store, scope, { ...hold, holdId: 's-1' });
    await decideHold(store, scope, 's-1', { verdict: 'cancel', by: 'ann', note: 'not wanted' });
    await store.db
      .updateTable('hold')
      .set({ decided_at: new Date(Date.now() - 60_000) })
      .where('chain_id', '=', id)
      .execute();
    expect(await sweep(store, environment.client)).toMatchObject({ sent: 1, problems: [] });
    const { raw } = await environment.client.workflow.getHandle(id).describe();
    expect(raw.workflowExtendedInfo?.cancelRequested).toBe(true);
    await closeChain(store, id, { state: 'cancelled' });
  });

  test('says that a namespace does not exist instead of failing in an unknown way', async () => {
    const link = linkTemporal({ address: environment.address, namespace: 'nowhere' });
    const started = link.use((client) => client.workflow.start('x', { taskQueue: 'x', workflowId: randomUUID() }));
    await expect(started).rejects.toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      message: expect.stringContaining('nowhere'),
    });
    await link.close();
  });
});
