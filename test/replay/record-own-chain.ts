import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { z } from 'zod';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { loadConfig } from '../../src/config/index.js';
import { openStore } from '../../src/store/database.js';
import { startWorker } from '../../src/workers/worker.js';
import { workerSettings } from '../../src/workers/worker-settings.js';
import { StackProcess, until } from '../support/stack-process.js';
import { steps } from './own-chain/steps.js';
import { withoutMachine } from './without-machine.js';

/**
 * Records the histories of a user-written chain, as evidence of one version of the engine:
 * `node --import tsx test/replay/record-own-chain.ts 0.1.0`. Files are never overwritten: a release adds its own.
 */
const [version] = process.argv.slice(2);
if (version === undefined) throw new Error('Name the version whose histories these are, e.g. 0.1.0.');
const folder = new URL(`./histories/${version}/`, import.meta.url);

const app = {
  chains: { weighTopic: { input: z.object({ topic: z.string() }), steps: ['outline'] } },
  steps,
  workflowsPath: fileURLToPath(new URL('./own-chain/workflows.ts', import.meta.url)),
};

// The simulated Claude is the stack's; the worker is here, since the stack's would not know the chain.
const stack = await StackProcess.start({ HOLDFAST_WORKERS: '0' });
const { temporalAddress, databaseUrl, modelUrl } = await stack.ready();
const targets = {
  temporal: { address: temporalAddress as string, namespace: 'default' },
  databaseUrl: databaseUrl as string,
};
const config = await loadConfig({ env: { ANTHROPIC_BASE_URL: modelUrl as string } });
const worker = await startWorker(workerSettings(config, targets, app, console.error));
const store = openStore(targets.databaseUrl, { maxConnections: 2 });
const link = linkTemporal(targets.temporal);
const limits = { maxInputBytes: 1_000_000, contextWindowOf: () => null };
const client = new HoldfastClient({ store, temporal: link, app, limits });
const connection = await Connection.connect({ address: targets.temporal.address });
const temporal = new Client({ connection });

async function save(id: string, name: string): Promise<void> {
  const history = await temporal.workflow.getHandle(id).fetchHistory();
  const file = new URL(`own-chain-${name}.json`, folder);
  await writeFile(file, `${withoutMachine(historyToJSON(history))}\n`, { flag: 'wx' });
  process.stdout.write(`${name}: ${history.events?.length} events\n`);
}

/** Submits a chain, of which the arguments against are refused once where the topic says so. */
async function submit(topic: string): Promise<string> {
  return (await client.submit({ chain: 'weighTopic', input: { topic: `Rain gardens, ${topic}. They hold water.` } }))
    .id;
}

/** Waits for the signal's time limit, the second timer of the chain. */
function untilWaiting(id: string): Promise<unknown> {
  return until(`${id} waits for its signal`, async () => {
    const { events } = await temporal.workflow.getHandle(id).fetchHistory();
    return (events?.filter((event) => event.timerStartedEventAttributes != null).length ?? 0) === 2;
  });
}

try {
  await mkdir(folder, { recursive: true });
  const refusal = { kind: 'refusal', match: { contains: 'speaks against' } };

  const plain = await submit('plain');
  await untilWaiting(plain);
  await save(plain, 'waiting');
  await temporal.workflow.getHandle(plain).signal('release');
  await client.wait(plain);
  await save(plain, 'completed');
  const { events } = await temporal.workflow.getHandle(plain).fetchHistory();
  const started = events?.find((event) => event.childWorkflowExecutionStartedEventAttributes != null);
  await save(started?.childWorkflowExecutionStartedEventAttributes?.workflowExecution?.workflowId as string, 'child');

  await stack.simulator('PUT', 'faults', [refusal]);
  const held = await submit('held');
  await client.wait(held);
  await save(held, 'held');
  await stack.simulator('DELETE', 'faults');
  await client.decide(held, { verdict: 'retry', by: 'the recorder' });
  await untilWaiting(held);
  await temporal.workflow.getHandle(held).signal('release');
  await client.wait(held);
  await save(held, 'retried');

  const cancelled = await submit('cancelled');
  await untilWaiting(cancelled);
  await client.cancel(cancelled);
  await save(cancelled, 'cancelled-while-waiting');
} finally {
  await connection.close();
  await link.close();
  await store.close();
  await worker.stop();
  await stack.stop();
}
