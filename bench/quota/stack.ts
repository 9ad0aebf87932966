import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection, ServiceError, Client as TemporalClient } from '@temporalio/client';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { stackEnvironment } from '../../src/config/index.js';
import { HoldfastError } from '../../src/contracts/errors.js';
import { priorityKeyOf } from '../../src/contracts/priority.js';
import { cacheDirectory, locateTemporal } from '../../src/embedded/binaries.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { startPostgres } from '../../src/embedded/postgres-server.js';
import type { RunningPart } from '../../src/embedded/processes.js';
import type { SimulatedClaude } from '../../src/embedded/simulated-claude/server.js';
import { startTemporalServer } from '../../src/embedded/temporal-server.js';
import { Watchdog } from '../../src/embedded/watchdog.js';
import { openStore } from '../../src/store/database.js';
import { createPayloadCodec } from '../../src/store/payload-codec.js';
import { startWorkerProcess, type WorkerProcess } from '../child.js';
import { quotaApplication } from './chains/app.js';
import type { Plan } from './scenarios.js';
import { BARE_QUEUE, type Side } from './side.js';
import type { QuotaWorkerSettings } from './worker.js';

const log = (line: string): void => void process.stderr.write(`${line}\n`);

/** A server of a side that can be killed and started again where it was. */
export interface KillablePart {
  /** Kills it without warning and starts it again on its files and its port. */
  readonly killAndRestart: () => Promise<void>;
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

async function layFoundation(closing: Closing, workerCount: number): Promise<Foundation> {
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
  async function keep<Part extends RunningPart>(name: string, start: () => Promise<Part>): Promise<Part> {
    const first = await start();
    let running = first;
    parts[name] = {
      killAndRestart: async () => {
        process.kill(running.pid, 'SIGKILL');
        await running.exited;
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
      const started = await Promise.allSettled(Array.from({ length: workerCount }, start));
      const workers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      closing.push(() => Promise.all(workers.map((worker) => worker.stop())));
      for (const one of started) if (one.status === 'rejected') throw one.reason;
      return workers;
    },
  };
}

type Patiently = <Result>(run: () => Promise<Result>) => Promise<Result>;

/** Whether a server was away: whoever waits for a chain asks again. */
function isAway(error: unknown): boolean {
  return error instanceof ServiceError || (error instanceof HoldfastError && error.code.endsWith('_UNREACHABLE'));
}

function stackSide(
  build: (plan: Plan, modelUrl: string, closing: Closing, patiently: Patiently) => Promise<Omit<StackSide, 'stop'>>,
): (plan: Plan, simulator: SimulatedClaude) => Promise<StackSide> {
  return async (plan, simulator) => {
    const closing: Closing = [];
    let stopped = false;
    const stop = async (): Promise<void> => {
      stopped = true;
      for (const close of closing.splice(0).reverse()) await close();
    };
    const patiently: Patiently = async (run) => {
      for (;;) {
        try {
          return await run();
        } catch (error) {
          if (stopped || !isAway(error)) throw error;
          await delay(100);
        }
      }
    };
    try {
      return { ...(await build(plan, simulator.url, closing, patiently)), stop };
    } catch (error) {
      await stop();
      throw error;
    }
  };
}

/** Chains of Holdfast, served by four worker processes that know the provider's limits at the start. */
export const startHoldfast = stackSide(async ({ limits, workers: count }, modelUrl, closing, patiently) => {
  const { temporalAddress, parts, startDatabase, startWorkers } = await layFoundation(closing, count);
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
    async run({ name, document, sentences, tenant, priority }) {
      const input = { name, document, sentences };
      const { id } = await client.submit({ chain: 'quotaChain', input, tenant, priority });
      const { state, message } = await patiently(() => client.wait(id));
      if (state !== 'completed') throw new Error(`${name} is ${state}: ${message}`);
    },
  };
});

/**
 * Activities of Temporal's SDK alone, served by four worker processes: priority and fairness keys, the queue's own rate
 * limit at as many calls as the binding limit has room for on the average, and `retry-after` as the delay of a retry.
 */
export const startBare = stackSide(async ({ limits, callsPerSecond, workers: count }, modelUrl, closing, patiently) => {
  const { temporalAddress, parts, startWorkers } = await layFoundation(closing, count);
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
    async run({ name, document, sentences, tenant, priority }) {
      const handle = await client.workflow.start('bareQuotaChain', {
        workflowId: `bare-${name}`,
        taskQueue: BARE_QUEUE,
        args: [{ name, document, sentences }],
        priority: { priorityKey: priorityKeyOf(priority, false), fairnessKey: tenant },
      });
      await patiently(() => handle.result());
    },
  };
});
