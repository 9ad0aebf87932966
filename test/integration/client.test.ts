import { randomUUID } from 'node:crypto';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal, type TemporalLink } from '../../src/client/temporal-link.js';
import { findChainHead, insertChain, markStarted } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { openHold } from '../../src/store/holds.js';
import { migrate } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';

// No worker runs here: what is tested is what the client says of the records and of Temporal.

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

function clientIn(namespace = 'default', address = environment.address): HoldfastClient {
  const temporal = linkTemporal({ address, namespace });
  links.push(temporal);
  const app = { chains: { echo: { input: z.unknown(), steps: [] } }, steps: {}, workflowsPath: '' };
  return new HoldfastClient({
    store,
    temporal,
    app,
    limits: { maxInputBytes: 10_000_000, contextWindowOf: () => null },
  });
}

/** A chain that the records say is running; Temporal knows nothing of it. */
async function lost(namespace = 'default'): Promise<string> {
  const chain = { type: 'echo', tenant: 'acme', priority: 'normal', contentHash: randomUUID(), input: '1' } as const;
  const { row } = await insertChain(store, { ...chain, namespace });
  await markStarted(store, row.id, 'a-run');
  return row.id;
}

test('a chain that Temporal refuses to start is queued, with a warning', async () => {
  // Over the 2 MB that Temporal takes, and without our codec.
  const submitted = await clientIn().submit({ chain: 'echo', input: 'x'.repeat(3_000_000) });
  expect(submitted).toMatchObject({
    state: 'queued',
    warning: expect.stringContaining('is queued; the workers go on'),
  });
  expect(await clientIn().cancel(submitted.id)).toMatchObject({ state: 'cancelled' });
});

test('a chain whose workflow is lost is stuck, and can be cancelled', async () => {
  const id = await lost();
  expect(await clientIn().status(id)).toMatchObject({
    state: 'stuck',
    message: expect.stringContaining('Temporal has no workflow for it'),
  });
  expect(await clientIn().wait(id)).toMatchObject({ state: 'stuck' });
  expect(await clientIn().cancel(id)).toMatchObject({ state: 'cancelled' });
});

test('a chain of another namespace is not judged, and not cancelled', async () => {
  const id = await lost('elsewhere');
  expect(await clientIn().status(id)).toMatchObject({ state: 'running' });
  await expect(clientIn().cancel(id)).rejects.toMatchObject({
    message: expect.stringContaining('namespace elsewhere'),
  });
  expect(await findChainHead(store, id)).toMatchObject({ state: 'running' });
});

test('a chain that was terminated takes no decision any more, and says so', async () => {
  const client = clientIn();
  const { id } = await client.submit({ chain: 'echo', input: 1 });
  const { runId } = await environment.client.workflow.getHandle(id).describe();
  const hold = { holdId: 's-1', kind: 'failure', reason: 'refusal', step: 's', call: 1, message: 'no' } as const;
  await openHold(store, { chainId: id, firstRunId: runId }, hold);
  await environment.client.workflow.getHandle(id).terminate('not wanted');
  await expect(client.decide(id, { verdict: 'retry', by: 'ann' })).rejects.toMatchObject({
    code: 'NOT_HELD',
    message: expect.stringContaining('it is failed'),
  });
  await expect(client.cancel(id)).rejects.toMatchObject({ code: 'ALREADY_CLOSED' });
});

test('a server that is away for one caller does not break the others, and is found again', async () => {
  const temporal = linkTemporal({ address: environment.address, namespace: 'default' });
  links.push(temporal);
  let goOn: (() => void) | undefined;
  const slow = temporal.use(async (client) => {
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    return client.workflow.count();
  });
  await expect.poll(() => goOn).toBeDefined();
  const unavailable = Object.assign(new Error('away'), { code: 14 });
  await expect(temporal.use(() => Promise.reject(unavailable))).rejects.toMatchObject({ code: 'TEMPORAL_UNREACHABLE' });
  goOn?.();
  await expect(slow).resolves.toHaveProperty('count');
  await expect(temporal.use((client) => client.workflow.count())).resolves.toHaveProperty('count');
});
