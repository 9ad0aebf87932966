import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { type Duration, IllegalStateError } from '@temporalio/common';
import { msToNumber } from '@temporalio/common/lib/time.js';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { HoldfastClient } from '../client/holdfast-client.js';
import { linkTemporal, type TemporalLink } from '../client/temporal-link.js';
import { type HoldfastConfig, loadConfig, stackEnvironment } from '../config/index.js';
import type { Application, ChainDefinition } from '../contracts/chain-definition.js';
import { isClosed } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import { DEFAULT_LANE_POLICIES } from '../contracts/lanes.js';
import type { ModelPort } from '../contracts/models.js';
import { DEFAULT_QUOTA_GROUP } from '../contracts/queues.js';
import { DEFAULT_QUOTA } from '../contracts/quotas.js';
import type { ChainStatus } from '../contracts/status.js';
import { cacheDirectory } from '../embedded/binaries.js';
import { pause } from '../embedded/waiting.js';
import { Watchdog } from '../embedded/watchdog.js';
import type { Submission } from '../intake/validate.js';
import { contextWindowOf } from '../models/context-windows.js';
import { openStore } from '../store/database.js';
import { createPayloadCodec } from '../store/payload-codec.js';
import { startWorker } from '../workers/worker.js';
import { workerSettings } from '../workers/worker-settings.js';
import { type ChainActivity, observeChain } from './chain-activity.js';
import { type Script, ScriptedModel, scriptedModel } from './scripted-model.js';
import { createTestDatabase, startTestPostgres } from './test-database.js';
import { type SkippingClock, startTestDevServer, startTimeSkippingServer } from './test-temporal.js';

export interface ChainTestOptions<App extends Application = Application> {
  /** The chains and steps to test. */
  readonly app: App;
  /**
   * `time-skipping`: Temporal's test server, whose time is skipped while a chain waits for a timer. `dev`: the server of
   * `holdfast dev`, with all that the test server lacks, such as lists of workflows. Default: `time-skipping`.
   */
  readonly temporal?: 'time-skipping' | 'dev';
  /** A PostgreSQL in which a database of its own is made, and removed in the end. Default: one is started. */
  readonly databaseUrl?: string;
  /** Over the defaults, which are the usual ones but for two: retries come at once, and no quota is waited for. */
  readonly config?: Partial<HoldfastConfig>;
  /** Told what worker and servers have to say. Default: nobody is. */
  readonly log?: (line: string) => void;
}

type InputOf<Definition> = Definition extends ChainDefinition<infer Input> ? Input : never;

export interface WaitOptions {
  /** Default: none; the test's own time limit ends the wait. */
  readonly signal?: AbortSignal;
}

/** How to submit a chain that is to be run. */
export type RunOptions = Omit<Submission, 'chain' | 'input'> & WaitOptions;

/** What ends in the opposite order of its start. */
type Closing = (() => Promise<unknown>)[];

const LOOK_EVERY_MS = 50;
const NAMESPACE = 'default';

/**
 * What the test of a chain needs, in this process and below it: a Temporal, a PostgreSQL, and a worker with the chains
 * under test. The model answers from a script. Everything else is the real thing.
 */
export class ChainTestEnvironment<App extends Application = Application> {
  private constructor(
    /** The client that everybody uses, on this environment. */
    readonly client: HoldfastClient,
    private readonly temporal: TemporalLink,
    private readonly clock: SkippingClock | undefined,
    private readonly port: SwitchedModel,
    /** Rejects when the worker fails. */
    private readonly worker: Promise<void>,
    private readonly closing: Closing,
  ) {}

  /**
   * Starts everything, in a few seconds. Throws what is missing and how to get it, or what is wrong with the application;
   * nothing is left running then. Temporal's SDK logs errors only from here on, unless a `Runtime` was installed before.
   */
  static async start<App extends Application>(options: ChainTestOptions<App>): Promise<ChainTestEnvironment<App>> {
    silenceTemporal();
    const closing: Closing = [];
    try {
      const { app, log = () => {} } = options;
      const { directory, address, clock, databaseUrl } = await startParts(options, log, closing);
      const config = { ...(await testConfig(directory, app)), ...options.config };
      const temporal = { address, namespace: NAMESPACE };
      const port = new SwitchedModel();
      const settings = workerSettings(config, { temporal, databaseUrl }, app, log, port);
      // Calls that are open at the end would be waited for, and a scripted one may hang.
      const worker = await startWorker({ ...settings, shutdownGraceMs: 0 });
      closing.push(() => worker.stop());
      // Nobody may be waiting for anything when it fails.
      worker.stopped.catch(() => {});
      const store = openStore(databaseUrl, { maxConnections: 4 });
      closing.push(() => store.close());
      const link = linkTemporal(temporal, createPayloadCodec(store));
      closing.push(() => link.close());
      const limits = {
        maxInputBytes: config.maxInputBytes,
        contextWindowOf: (model: string) => contextWindowOf(model, config.contextWindows)?.contextTokens ?? null,
      };
      const client = new HoldfastClient({ store, temporal: link, app, limits });
      return new ChainTestEnvironment<App>(client, link, clock, port, worker.stopped, closing);
    } catch (error) {
      await closeAll(closing);
      throw error;
    }
  }

  /** Makes a model that answers from a script and puts it in the place of the present one. */
  script(script: Script): ScriptedModel {
    const model = scriptedModel(script);
    this.use(model);
    return model;
  }

  /** Puts a model in the place of the present one, for calls that begin from now on. */
  use(model: ModelPort): void {
    this.port.present = model;
  }

  /** Submits a chain and waits for it, see {@link wait}. */
  async run<Chain extends keyof App['chains'] & string>(
    chain: Chain,
    input: InputOf<App['chains'][Chain]>,
    { signal, ...submission }: RunOptions = {},
  ): Promise<ChainStatus> {
    const { id } = await this.client.submit({ ...submission, chain, input });
    return this.wait(id, { signal });
  }

  /**
   * Waits until a chain has ended, or is held and nothing else of it goes on. Skips the time for which it waits for its
   * start or its timers, unless it is held. Throws when the model was called without an answer for it, and when the code of the chain
   * throws what is no failure of Temporal.
   */
  async wait(id: string, { signal }: WaitOptions = {}): Promise<ChainStatus> {
    for (;;) {
      const { status, timerDueMs } = await this.idle(id, signal);
      if (status.state !== 'running' && status.startsAt === null) return status;
      if (timerDueMs !== null) await this.clock?.skip(Math.max(0, timerDueMs - (await this.clock.now())));
    }
  }

  /** Waits until a chain has ended or does nothing but wait itself: for a timer, or for somebody. Throws like {@link wait}. */
  async untilIdle(id: string, { signal }: WaitOptions = {}): Promise<ChainStatus> {
    return (await this.idle(id, signal)).status;
  }

  /**
   * Skips time, for all chains: a number of milliseconds or a text such as `3 days`. Throws `BAD_USAGE` without the
   * time-skipping server, and `FAILED` when a call stays open: no time is skipped meanwhile.
   */
  async skipTime(duration: Duration): Promise<void> {
    if (this.clock === undefined) {
      throw new HoldfastError(
        'BAD_USAGE',
        'This test environment cannot skip time: it runs on a development server.',
        "Start it with { temporal: 'time-skipping' }.",
      );
    }
    await this.clock.skip(msToNumber(duration));
  }

  /** Ends everything that was started, and removes its data. Calls that are still open are aborted. Safe to call twice. */
  async stop(): Promise<void> {
    await closeAll(this.closing);
  }

  private async idle(
    id: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly status: ChainStatus; readonly timerDueMs: number | null }> {
    for (;;) {
      await Promise.race([pause(LOOK_EVERY_MS, signal), this.worker]);
      signal?.throwIfAborted();
      // Before the status: a hold that was opened before a timer stands in the store when the timer is seen.
      const activity = await this.temporal.use((client) => observeChain(client, id)).catch(busyIfUnknown);
      const status = await this.client.status(id);
      if (this.port.present instanceof ScriptedModel) this.port.present.refuseProblems();
      if (isClosed(status.state)) return { status, timerDueMs: null };
      if (activity.kind === 'fails') throw failing(status, activity.message);
      const mayWait = status.state !== 'queued' || status.startsAt !== null;
      if (activity.kind === 'waits' && mayWait) return { status, timerDueMs: activity.timerDueMs };
    }
  }
}

/** The model of the worker: whichever the test has put in its place. */
class SwitchedModel implements ModelPort {
  present: ModelPort = scriptedModel({});
  readonly call: ModelPort['call'] = (request, options) => this.present.call(request, options);
  readonly countTokens: ModelPort['countTokens'] = (request, options) => this.present.countTokens(request, options);
}

/** The servers and where they are. What they need to be ended is added to `closing`. */
async function startParts(
  { temporal = 'time-skipping', databaseUrl }: ChainTestOptions,
  log: (line: string) => void,
  closing: Closing,
) {
  const env = stackEnvironment();
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-chain-test-'));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  await chmod(directory, 0o755);
  // A test run that is killed leaves no server behind.
  const watchdog = new Watchdog(env);
  closing.push(() => watchdog.close());
  const options = { directory, env, log, onSpawn: watchdog.add, cacheDirectory: cacheDirectory(env) };
  // Both settle before a failure goes on: a part that is still starting could not be stopped.
  const [server, database] = await Promise.allSettled([
    temporal === 'dev' ? startTestDevServer(options) : startTimeSkippingServer(options),
    databaseUrl === undefined ? startTestPostgres(options) : createTestDatabase(databaseUrl),
  ]);
  if (database.status === 'fulfilled') closing.push(() => database.value.remove());
  if (server.status === 'fulfilled') closing.push(() => server.value.stop());
  if (database.status === 'rejected') throw database.reason;
  if (server.status === 'rejected') throw server.reason;
  return { directory, address: server.value.address, clock: server.value.clock, databaseUrl: database.value.url };
}

/** The default configuration, whatever the machine's environment says, with retries and quotas that nobody waits for. */
async function testConfig(directory: string, { steps }: Application): Promise<HoldfastConfig> {
  const { fast, heavy } = DEFAULT_LANE_POLICIES;
  const models = Object.values(steps).map(({ model }) => [model, DEFAULT_QUOTA_GROUP]);
  return {
    ...(await loadConfig({ env: {}, cwd: directory })),
    lanes: { fast: { ...fast, initialDelayMs: 1 }, heavy: { ...heavy, initialDelayMs: 1 } },
    quotaGroups: Object.fromEntries(models),
    quota: {
      ...DEFAULT_QUOTA,
      requestsPerMinute: 1_000_000,
      inputTokensPerMinute: 1_000_000_000,
      outputTokensPerMinute: 1_000_000_000,
    },
  };
}

/** Warnings of Temporal's SDK are what a chain's test provokes: failed activities, broken workflow code. */
function silenceTemporal(): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR'),
      telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
    });
  } catch (error) {
    // There is one already: the test's own, or that of an earlier environment.
    if (!(error instanceof IllegalStateError)) throw error;
  }
}

function busyIfUnknown(error: unknown): ChainActivity {
  if (error instanceof WorkflowNotFoundError) return { kind: 'busy' };
  throw error;
}

function failing({ chain, id }: ChainStatus, message: string): HoldfastError {
  return new HoldfastError(
    'FAILED',
    `The code of ${chain} throws, and Temporal goes on trying to run ${id}: ${message}`,
    'Correct the workflow function. To end a chain as failed, throw an ApplicationFailure of @temporalio/workflow.',
  );
}

/** Runs everything even if something fails, and throws the first failure then. */
async function closeAll(closing: Closing): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closing.splice(0).reverse()) await close().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
