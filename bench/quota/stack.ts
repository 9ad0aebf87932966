import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, Client as TemporalClient } from '@temporalio/client';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { stackEnvironment } from '../../src/config/index.js';
import { PRIORITY_KEY } from '../../src/contracts/priority.js';
import { cacheDirectory, locateTemporal } from '../../src/embedded/binaries.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { startPostgres } from '../../src/embedded/postgres-server.js';
import { startTemporalServer } from '../../src/embedded/temporal-server.js';
import { Watchdog } from '../../src/embedded/watchdog.js';
import { openStore } from '../../src/store/database.js';
import { createPayloadCodec } from '../../src/store/payload-codec.js';
import { startWorkerProcess, type WorkerProcess } from '../child.js';
import { quotaApplication } from './chains/app.js';
import { BARE_QUEUE, type Side, type StartSide } from './side.js';
import type { QuotaWorkerSettings } from './worker.js';

const WORKERS = 4;

const log = (line: string): void => void process.stderr.write(`${line}\n`);

/** A server of a side that can be killed and started again where it was. */
export interface KillablePart {
  readonly pid: () => number;
  /** Starts it again on its files and its port, after a kill. */
  readonly restart: () => Promise<void>;
}

/** A side that runs on Temporal: a stack of its own, so that it inherits nothing from the side before it. */
export interface StackSide extends Side {
  readonly workers: readonly WorkerProcess[];
  readonly parts: Readonly<Record<string, KillablePart>>;
}

type Closing = (() => Promise<unknown>)[];

interface Foundation {
  readonly temporalAddress: string;
  readonly parts: Record<string, KillablePart>;
  readonly startWorkers: (settings: QuotaWorkerSettings) => Promise<WorkerProcess[]>;
  readonly startDatabase: () => Promise<string>;
}

async function layFoundation(closing: Closing): Promise<Foundation> {
  const env = stackEnvironment();
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  await chmod(directory, 0o755);
  const watchdog = new Watchdog(env);
  closing.push(() => watchdog.close());
  const onSpawn = watchdog.add;
  const parts: Record<string, KillablePart> = {};

  /** Starts a server, and whatever follows it after a kill. */
  async function keep<Part extends { readonly pid: number; stop(): Promise<void> }>(
    name: string,
    start: () => Promise<Part>,
  ): Promise<Part> {
    const first = await start();
    let running = first;
    parts[name] = {
      pid: () => running.pid,
      restart: async () => {
        running = await start();
      },
    };
    closing.push(() => running.stop());
    return first;
  }

  const temporal = { port: await findFreePort(), uiPort: await findFreePort() };
  const executable = await locateTemporal({ env, log });
  const server = await keep('Temporal', () =>
    startTemporalServer({ ...temporal, executable, directory, env, onSpawn }),
  );
  return {
    temporalAddress: server.address,
    parts,
    startDatabase: async () => {
      const port = await findFreePort();
      const options = { directory, port, log, cacheDirectory: cacheDirectory(env), onSpawn };
      return (await keep('PostgreSQL', () => startPostgres(options))).url;
    },
    startWorkers: async (settings) => {
      const script = new URL('./worker.ts', import.meta.url);
      const start = () => startWorkerProcess(settings, { directory, env, onSpawn, script });
      const started = await Promise.allSettled(Array.from({ length: WORKERS }, start));
      const workers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      closing.push(() => Promise.all(workers.map((worker) => worker.stop())));
      for (const one of started) if (one.status === 'rejected') throw one.reason;
      return workers;
    },
  };
}

function stackSide(build: (plan: Parameters<StartSide>[0], modelUrl: string, closing: Closing) => Promise<StackSide>) {
  return async (plan: Parameters<StartSide>[0], simulator: Parameters<StartSide>[1]): Promise<StackSide> => {
    const closing: Closing = [];
    const stop = async (): Promise<void> => {
      for (const close of closing.splice(0).reverse()) await close();
    };
    try {
      return { ...(await build(plan, simulator.url, closing)), stop };
    } catch (error) {
      await stop();
      throw error;
    }
  };
}

/** Chains of Holdfast, served by four worker processes that know the provider's limits at the start. */
export const startHoldfast = stackSide(async ({ limits }, modelUrl, closing) => {
  const { temporalAddress, parts, startDatabase, startWorkers } = await layFoundation(closing);
  const databaseUrl = await startDatabase();
  const workers = await startWorkers({ side: 'holdfast', temporalAddress, databaseUrl, modelUrl, limits });
  const store = openStore(databaseUrl, { maxConnections: 4 });
  closing.push(() => store.close());
  const temporal = linkTemporal({ address: temporalAddress, namespace: 'default' }, createPayloadCodec(store));
  closing.push(() => temporal.close());
  const client = new HoldfastClient({
    store,
    temporal,
    app: quotaApplication,
    limits: { maxInputBytes: 10_000_000, contextWindowOf: () => null },
  });
  return {
    workers,
    parts,
    stop: async () => {},
    async run({ name, document, sentences, tenant, priority }) {
      const input = { name, document, sentences };
      const { id } = await client.submit({ chain: 'quotaChain', input, tenant, priority });
      const { state, message } = await client.wait(id);
      if (state !== 'completed') throw new Error(`${name} is ${state}: ${message}`);
    },
  };
});

/**
 * Activities of Temporal's SDK alone, served by four worker processes: priority and fairness keys, the queue's own rate
 * limit at as many calls as the binding limit has room for on the average, and `retry-after` as the delay of a retry.
 */
export const startBare = stackSide(async ({ limits, callsPerSecond }, modelUrl, closing) => {
  const { temporalAddress, parts, startWorkers } = await layFoundation(closing);
  const workers = await startWorkers({ side: 'bare', temporalAddress, databaseUrl: '', modelUrl, limits });
  const connection = await Connection.connect({ address: temporalAddress });
  closing.push(() => connection.close());
  await connection.workflowService.updateTaskQueueConfig({
    namespace: 'default',
    identity: 'bench',
    taskQueue: BARE_QUEUE,
    taskQueueType: 2,
    updateQueueRateLimit: { rateLimit: { requestsPerSecond: callsPerSecond }, reason: 'the limit of the provider' },
  });
  const client = new TemporalClient({ connection });
  return {
    workers,
    parts,
    stop: async () => {},
    async run({ name, document, sentences, tenant, priority }) {
      await client.workflow.execute('bareQuotaChain', {
        workflowId: `bare-${name}`,
        taskQueue: BARE_QUEUE,
        args: [{ name, document, sentences }],
        priority: { priorityKey: PRIORITY_KEY[priority], fairnessKey: tenant },
      });
    },
  };
});
