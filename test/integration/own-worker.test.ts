import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, type Connection } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/index.js';
import { connectClient } from '../../src/connect.js';
import { refusal, scriptedModel } from '../../src/testing.js';
import { holdfastPlugin, workerSettings } from '../../src/worker.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';
import { steps } from '../support/own-worker/steps.js';
import { startBoth } from '../support/own-worker/worker.js';
import { digest, wordsOf } from '../support/own-worker/workflows.js';
import { until } from '../support/stack-process.js';

const SUPPORT = fileURLToPath(new URL('../support/own-worker/', import.meta.url));
const model = scriptedModel({ summarize: [refusal('Not this.'), 'A bridge.'] });

let environment: TestWorkflowEnvironment;
let directory: string;
let both: Awaited<ReturnType<typeof startBoth>>;
let connected: ReturnType<typeof connectClient>;

beforeAll(async () => {
  const [server, databaseUrl] = await Promise.all([createDevServer(), createDatabase()]);
  environment = server;
  directory = await mkdtemp(join(tmpdir(), 'holdfast-own-worker-'));
  const config = await loadConfig({ env: {}, cwd: directory });
  const targets = { databaseUrl, temporal: { address: server.address, namespace: 'default' } };
  const app = { chains: {}, steps, workflowsPath: join(SUPPORT, 'workflows.ts') };
  const settings = workerSettings(config, targets, app, () => {}, model);
  both = await startBoth(settings, server.nativeConnection, server.connection as Connection);
  connected = connectClient(config, targets);
});
afterAll(async () => {
  await connected?.close();
  await both?.stop();
  await environment?.teardown();
  if (directory !== undefined) await rm(directory, { recursive: true });
});

test('a workflow in a worker of its own has steps, holds and approvals, and its large input travels by the codec', async () => {
  const text = 'The bridge was closed. '.repeat(10_000);
  const handle = await both.client.workflow.start(digest, { workflowId: 'one', taskQueue: 'mine', args: [text] });
  const status = () => connected.client.status('one').catch(() => null);
  await until('the step is held', async () => (await status())?.holds[0]?.reason === 'refusal');
  await connected.client.decide('one', { verdict: 'retry', by: 'ann' });
  await until('the approval waits', async () => (await status())?.holds[0]?.kind === 'approval');
  await connected.client.decide('one', { verdict: 'approve', by: 'ann' });
  expect(await handle.result()).toEqual({ words: 40_001, summary: 'A bridge.' });
  expect(await connected.client.status('one')).toMatchObject({ chain: 'digest', state: 'completed' });
  model.verify();
  const { events } = await handle.fetchHistory();
  const input = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0];
  expect(Buffer.from(input?.metadata?.encoding ?? []).toString()).toBe('binary/holdfast-blob');
  expect(input?.data?.length).toBeLessThan(1_000);
});

test('an ordinary workflow of the same worker leaves no record', async () => {
  const options = { workflowId: 'two', taskQueue: 'mine', args: ['three small words'] as [string] };
  expect(await both.client.workflow.execute(wordsOf, options)).toBe(3);
  await expect(connected.client.status('two')).rejects.toMatchObject({ code: 'CHAIN_NOT_FOUND' });
});

test('a client with a codec of its own is refused', async () => {
  const other = { encode: async <T>(payloads: T) => payloads, decode: async <T>(payloads: T) => payloads };
  const plugin = holdfastPlugin({
    databaseUrl: 'postgres://localhost/never-reached',
    app: { steps },
    routing: {} as Parameters<typeof holdfastPlugin>[0]['routing'],
  });
  const create = () => new Client({ dataConverter: { payloadCodecs: [other] }, plugins: [plugin] });
  expect(create).toThrowError(expect.objectContaining({ code: 'BAD_CONFIGURATION' }));
  await plugin.close();
});

test('docs/own-worker.md shows the code that runs here', async () => {
  const docs = await readFile(fileURLToPath(new URL('../../docs/own-worker.md', import.meta.url)), 'utf8');
  for (const name of ['workflows.ts', 'worker.ts']) {
    const code = await readFile(join(SUPPORT, name), 'utf8');
    expect(docs).toContain(code.replaceAll(/'[./]+src\/(\w+)\.js'/g, "'holdfast/$1'"));
  }
});
