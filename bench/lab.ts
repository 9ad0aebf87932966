import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { HoldfastClient } from '../src/client/holdfast-client.js';
import { linkTemporal } from '../src/client/temporal-link.js';
import { stackEnvironment } from '../src/config/index.js';
import { cacheDirectory, locateTemporal } from '../src/embedded/binaries.js';
import { startNodePart } from '../src/embedded/node-part.js';
import { findFreePort } from '../src/embedded/ports.js';
import { startPostgres } from '../src/embedded/postgres-server.js';
import { startTemporalServer } from '../src/embedded/temporal-server.js';
import { Watchdog } from '../src/embedded/watchdog.js';
import { openStore, type Store } from '../src/store/database.js';
import { createPayloadCodec } from '../src/store/payload-codec.js';
import { benchApplication } from './chains/app.js';
import { startWorkerProcess, type WorkerProcess } from './child.js';
import type { BenchInput } from './prompts.js';
import { Simulator } from './simulator.js';
import { BARE_TASK_QUEUE, type Side } from './worker.js';

/** Model calls that each side's worker makes at once: as many as the largest measurement has in flight. */
const CONCURRENCY = 200;

const BIN = fileURLToPath(new URL('../bin/holdfast.mjs', import.meta.url));

/** A chain that has been started on one side. */
export interface Started {
  readonly id: string;
  /** Resolves when its output is there, for whoever started it. */
  readonly ended: () => Promise<void>;
}

/** What both sides run on: one Temporal as `holdfast dev` starts it, one PostgreSQL, one simulated Claude. */
export class Lab {
  private kept: Promise<Record<Side, WorkerProcess>> | undefined;

  constructor(
    readonly temporal: Client,
    readonly client: HoldfastClient,
    readonly store: Store,
    readonly simulator: Simulator,
    /** Process ids, for what they use. */
    readonly pids: { readonly temporal: number; readonly postgres: number; readonly model: number },
    private readonly start: (side: Side) => Promise<WorkerProcess>,
    private readonly closing: (() => Promise<unknown>)[],
    private readonly keepWorkers: boolean,
  ) {}

  /** `keepWorkers`: one pair of workers serves everything, which is quicker; their memory is then that of all before. */
  static async open(log: (line: string) => void, { keepWorkers = false } = {}): Promise<Lab> {
    const closing: (() => Promise<unknown>)[] = [];
    try {
      return await build(closing, log, keepWorkers);
    } catch (error) {
      await closeAll(closing);
      throw error;
    }
  }

  /** Runs something while a worker of each side serves: fresh ones, unless the lab keeps its workers. */
  async withWorkers<Result>(run: (workers: Record<Side, WorkerProcess>) => Promise<Result>): Promise<Result> {
    if (this.keepWorkers) {
      this.kept ??= this.startWorkers();
      return run(await this.kept);
    }
    const workers = await this.startWorkers();
    try {
      return await run(workers);
    } finally {
      await stopAll(Object.values(workers));
    }
  }

  /** Starts a chain as an application would: with Temporal's client, or with Holdfast's. */
  async submit(side: Side, input: BenchInput, chain = side === 'bare' ? 'bareChain' : 'benchChain'): Promise<Started> {
    if (side === 'holdfast') {
      const { id } = await this.client.submit({ chain, input });
      return {
        id,
        ended: async () => {
          const { state, message } = await this.client.wait(id);
          if (state !== 'completed') throw new Error(`${id} is ${state}: ${message}`);
        },
      };
    }
    const handle: WorkflowHandle = await this.temporal.workflow.start(chain, {
      workflowId: `${chain}-${crypto.randomUUID()}`,
      taskQueue: BARE_TASK_QUEUE,
      args: [input],
    });
    return { id: handle.workflowId, ended: async () => void (await handle.result()) };
  }

  async run(side: Side, input: BenchInput, chain?: string): Promise<string> {
    const { id, ended } = await this.submit(side, input, chain);
    await ended();
    return id;
  }

  async close(): Promise<void> {
    await this.kept?.then((workers) => stopAll(Object.values(workers)));
    await closeAll(this.closing);
  }

  private async startWorkers(): Promise<Record<Side, WorkerProcess>> {
    const started = await Promise.allSettled([this.start('bare'), this.start('holdfast')]);
    const [bare, holdfast] = started;
    if (bare.status === 'fulfilled' && holdfast.status === 'fulfilled') {
      return { bare: bare.value, holdfast: holdfast.value };
    }
    await stopAll(started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])));
    throw started.find((one) => one.status === 'rejected')?.reason;
  }
}

async function build(
  closing: (() => Promise<unknown>)[],
  log: (line: string) => void,
  keepWorkers: boolean,
): Promise<Lab> {
  const env = stackEnvironment();
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  await chmod(directory, 0o755);
  const watchdog = new Watchdog(env);
  closing.push(() => watchdog.close());
  const onSpawn = watchdog.add;

  const postgres = await startPostgres({
    directory,
    port: await findFreePort(),
    log,
    cacheDirectory: cacheDirectory(env),
    onSpawn,
  });
  closing.push(() => postgres.stop());
  const server = await startTemporalServer({
    executable: await locateTemporal({ env, log }),
    directory,
    port: await findFreePort(),
    uiPort: await findFreePort(),
    env,
    onSpawn,
  });
  closing.push(() => server.stop());
  const model = await startNodePart({
    name: 'model',
    args: [BIN, 'simulated-claude'],
    env,
    directory,
    stopTimeoutMs: 3_000,
    onSpawn,
  });
  closing.push(() => model.stop());
  const modelUrl = model.url as string;
  const simulator = new Simulator(modelUrl);
  await simulator.reset();

  const store = openStore(postgres.url, { maxConnections: 4 });
  closing.push(() => store.close());
  const link = linkTemporal({ address: server.address, namespace: 'default' }, createPayloadCodec(store));
  closing.push(() => link.close());
  const limits = { maxInputBytes: 10_000_000, contextWindowOf: () => null };
  const client = new HoldfastClient({ store, temporal: link, app: benchApplication, limits });
  const connection = await Connection.connect({ address: server.address });
  closing.push(() => connection.close());
  const start = (side: Side) =>
    startWorkerProcess(
      { side, temporalAddress: server.address, databaseUrl: postgres.url, modelUrl, concurrency: CONCURRENCY },
      { directory, env, onSpawn },
    );
  const pids = { temporal: server.pid, postgres: postgres.pid, model: model.pid };
  return new Lab(new Client({ connection }), client, store, simulator, pids, start, closing, keepWorkers);
}

async function stopAll(workers: readonly WorkerProcess[]): Promise<void> {
  await Promise.all(workers.map((worker) => worker.stop()));
}

async function closeAll(closing: (() => Promise<unknown>)[]): Promise<void> {
  for (const close of closing.splice(0).reverse()) await close();
}
