import { rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '../contracts/errors.js';
import { cacheDirectory, locateTemporal } from './binaries.js';
import type { DirectoryLock } from './directory-lock.js';
import { KeptPart } from './kept-part.js';
import { ChildList } from './leftovers.js';
import { type NodePart, startNodePart } from './node-part.js';
import { requireFreePort } from './ports.js';
import { type PostgresServer, startPostgres } from './postgres-server.js';
import { identifyProcess, type OnSpawn, signalProcess } from './processes.js';
import { clearReadyFile, type StackInfo, type StackReady, stackFile, writeJson } from './stack-files.js';
import { choosePorts, type StackPorts } from './stack-ports.js';
import { makeDirectory, takeDirectory } from './state-directory.js';
import { startTemporalServer, type TemporalServer } from './temporal-server.js';
import { Watchdog } from './watchdog.js';

export { readStack, type StackReady } from './stack-files.js';
export type { StackPorts } from './stack-ports.js';

export interface StackOptions {
  /** The state directory; made when missing. One stack at a time runs in it. */
  readonly directory: string;
  /** The environment that children get, with the stack's addresses added; also what `temporal` is looked up in. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: (line: string) => void;
  /** Address of a Temporal to use instead of an embedded one. */
  readonly temporalAddress?: string;
  /** Default: `default`. */
  readonly temporalNamespace?: string;
  /** An executable of Temporal's CLI to use, whatever its version. Default: looked for, see `locateTemporal`. */
  readonly temporalExecutable?: string;
  /** URL of a PostgreSQL to use instead of an embedded one. */
  readonly databaseUrl?: string;
  /** A provider to use instead of the simulated Claude; a null URL is the SDK's own default. */
  readonly model?: { readonly url: string | null };
  /** Ports that must be free and are used; the others are chosen. */
  readonly ports?: Partial<StackPorts>;
  /** Number of worker processes. Default: 1. */
  readonly workers?: number;
  /** Written once everything serves and after each change, with mode 0600; removed by a clean stop. */
  readonly readyFile?: string;
  /** Added to the environment of the workers and of the HTTP API. */
  readonly workerEnv?: NodeJS.ProcessEnv;
  /** Node's arguments for a worker. Default: `bin/holdfast.mjs worker`. */
  readonly workerCommand?: readonly string[];
  /** Node's arguments for the HTTP API. Default: `bin/holdfast.mjs server`. */
  readonly serverCommand?: readonly string[];
  /** Node's arguments for the simulated Claude. Default: `bin/holdfast.mjs simulated-claude --port PORT`. */
  readonly simulatedClaudeCommand?: (port: number) => readonly string[];
  /** Called when PostgreSQL serves and before a worker starts; a rejection fails the start. */
  readonly onDatabase?: (url: string) => Promise<void>;
  /** Called when Temporal serves and before a worker starts; a rejection fails the start. */
  readonly onTemporal?: (address: string) => Promise<void>;
  /** Called when the stack has become ready and when a part has died or come back. */
  readonly onChange?: (ready: StackReady) => void;
  /** Cuts the start short. A stack that has started is ended by `stop`. */
  readonly signal?: AbortSignal;
}

export interface Stack {
  readonly ready: StackReady;
  /** Workers and the HTTP API first, then the model, Temporal and PostgreSQL; resolves when all are gone. */
  stop(): Promise<void>;
  /** Ends everything at once by force; for a second Ctrl-C. */
  kill(): Promise<void>;
}

const BIN = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin', 'holdfast.mjs');

/**
 * Starts the parts of Holdfast that are not external, keeps them alive on the same ports, and tells where they are.
 * @throws HoldfastError `BAD_USAGE`, `BAD_CONFIGURATION`, `DIRECTORY_IN_USE`, `DIRECTORY_DAMAGED`, `PORT_IN_USE`, `PART_MISSING`, `PART_FAILED`; everything
 * that was started is stopped then
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  options.signal?.throwIfAborted();
  const directory = resolve(options.directory);
  makeDirectory(directory);
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce({ ...options, directory });
    } catch (error) {
      // Between the choice of a free port and its use another program, also another stack, may have taken it.
      const isNamed = Object.values(options.ports ?? {}).some((port) => port !== undefined);
      const isTaken = !isNamed && error instanceof HoldfastError && error.code === 'PORT_IN_USE';
      if (!isTaken || attempt === 3) throw error;
      options.log(`${error.message} Choosing another one.`);
    }
  }
}

async function startOnce(options: StackOptions): Promise<Stack> {
  const stack = new RunningStack(options, await takeDirectory(options.directory));
  const onAbort = () => void stack.stop();
  options.signal?.addEventListener('abort', onAbort);
  try {
    await stack.start();
    options.signal?.throwIfAborted();
    return stack;
  } catch (error) {
    await stack.stop();
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
  }
}

class RunningStack implements Stack {
  readonly #children: ChildList;
  readonly #watchdog: Watchdog;
  #postgres: KeptPart<PostgresServer> | null = null;
  #temporal: KeptPart<TemporalServer> | null = null;
  #model: KeptPart<NodePart> | null = null;
  #server: KeptPart<NodePart> | null = null;
  #workers: KeptPart<NodePart>[] = [];
  #addresses = {
    temporal: '',
    ui: null as string | null,
    database: '',
    model: null as string | null,
    http: null as string | null,
  };
  #complete = false;
  #stopped: Promise<void> | null = null;

  constructor(
    private readonly options: StackOptions,
    private readonly lock: DirectoryLock,
  ) {
    this.#children = new ChildList(options.directory);
    this.#watchdog = new Watchdog(options.env);
  }

  get ready(): StackReady {
    return {
      temporalAddress: this.#addresses.temporal,
      temporalUiUrl: this.#addresses.ui,
      databaseUrl: this.#addresses.database,
      modelUrl: this.#addresses.model,
      httpUrl: this.#addresses.http,
      processes: {
        worker: this.#workers.flatMap(({ current }) => (current ? [current.pid] : [])),
        temporal: this.#temporal?.current?.pid ?? null,
        postgres: this.#postgres?.current?.pid ?? null,
        model: this.#model?.current?.pid ?? null,
        server: this.#server?.current?.pid ?? null,
      },
    };
  }

  async start(): Promise<void> {
    const { directory, log, signal, readyFile } = this.options;
    if (readyFile) clearReadyFile(readyFile);
    await this.#children.endLeftovers(log, signal);
    const needed: (keyof StackPorts)[] = [
      ...(this.options.temporalAddress ? [] : (['temporal', 'ui'] as const)),
      ...(this.options.databaseUrl ? [] : (['postgres'] as const)),
      ...(this.options.model ? [] : (['model'] as const)),
      'http',
    ];
    const ports = await choosePorts(directory, needed, this.options.ports ?? {}, log);
    // All three settle before a failure goes on: a part that is still starting could not be stopped.
    const starts = await Promise.allSettled([
      this.#startPostgres(ports.postgres),
      this.#startTemporal(ports),
      this.#startModel(ports.model),
    ]);
    for (const result of starts) if (result.status === 'rejected') throw result.reason;
    const users = await Promise.allSettled([this.#startWorkers(), this.#startServer(ports.http)]);
    for (const result of users) if (result.status === 'rejected') throw result.reason;
    this.#complete = true;
    this.#publish();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stopInOrder();
    return this.#stopped;
  }

  async kill(): Promise<void> {
    const stopped = this.stop();
    for (const pid of this.#watchdog.children) signalProcess(pid, 'SIGKILL');
    await stopped;
  }

  async #stopInOrder(): Promise<void> {
    if (this.#complete) for (const file of this.#files()) rmSync(file, { force: true });
    this.#complete = false;
    for (const part of [this.#model, this.#temporal, this.#postgres, this.#server, ...this.#workers]) part?.retire();
    await Promise.all([this.#server, ...this.#workers].map((part) => part?.stop()));
    await this.#model?.stop();
    await this.#temporal?.stop();
    await this.#postgres?.stop();
    await this.#watchdog.close();
    this.#children.clear();
    this.lock.release();
  }

  async #startPostgres(port: number): Promise<void> {
    const { databaseUrl, directory, env, log } = this.options;
    if (databaseUrl) this.#addresses.database = databaseUrl;
    else {
      this.#postgres = this.#keep('PostgreSQL', (signal) =>
        startPostgres({
          directory,
          port,
          log,
          cacheDirectory: cacheDirectory(env),
          onSpawn: this.#onSpawn,
          signal,
        }),
      );
      this.#addresses.database = (await this.#postgres.start()).url;
    }
    await this.options.onDatabase?.(this.#addresses.database);
  }

  async #startTemporal(ports: StackPorts): Promise<void> {
    const { temporalAddress, temporalNamespace, temporalExecutable, directory, env, log, signal } = this.options;
    if (temporalAddress) this.#addresses.temporal = temporalAddress;
    else {
      const executable = await locateTemporal({ env, executable: temporalExecutable, log, signal });
      this.#temporal = this.#keep('Temporal', (aborted) =>
        startTemporalServer({
          executable,
          directory,
          port: ports.temporal,
          uiPort: ports.ui,
          namespace: temporalNamespace,
          codecUrl: `http://127.0.0.1:${ports.http}/codec`,
          env,
          onSpawn: this.#onSpawn,
          signal: aborted,
        }),
      );
      const { address, uiUrl } = await this.#temporal.start();
      this.#addresses.temporal = address;
      this.#addresses.ui = uiUrl;
    }
    await this.options.onTemporal?.(this.#addresses.temporal);
  }

  async #startModel(port: number): Promise<void> {
    const { model, simulatedClaudeCommand, directory, env } = this.options;
    if (model) {
      this.#addresses.model = model.url;
      return;
    }
    const args = simulatedClaudeCommand?.(port) ?? [BIN, 'simulated-claude', '--port', String(port)];
    this.#model = this.#keep('The simulated Claude', (signal) =>
      startNodePart({ name: 'model', args, env, directory, stopTimeoutMs: 3_000, onSpawn: this.#onSpawn, signal }),
    );
    await requireFreePort(port, 'the simulated Claude', 'Stop the program that listens there, or name another port.');
    this.#addresses.model = (await this.#model.start()).url ?? `http://127.0.0.1:${port}`;
  }

  async #startWorkers(): Promise<void> {
    const { workers = 1, workerCommand, directory } = this.options;
    const args = workerCommand ?? [BIN, 'worker'];
    const env = this.#userEnv();
    this.#workers = Array.from({ length: workers }, (_, index) => {
      const name = `worker-${index + 1}`;
      return this.#keep(name, (signal) =>
        startNodePart({ name, args, env, directory, stopTimeoutMs: 15_000, onSpawn: this.#onSpawn, signal }),
      );
    });
    const starts = await Promise.allSettled(this.#workers.map((worker) => worker.start()));
    for (const result of starts) if (result.status === 'rejected') throw result.reason;
  }

  async #startServer(port: number): Promise<void> {
    const { serverCommand, directory, env } = this.options;
    const { ui } = this.#addresses;
    const args = serverCommand ?? [BIN, 'server'];
    const origins = ui === null ? undefined : `${ui},${ui.replace('127.0.0.1', 'localhost')}`;
    const serverEnv = {
      ...this.#userEnv(),
      HOLDFAST_HTTP_PORT: String(port),
      HOLDFAST_UI_ORIGINS: env.HOLDFAST_UI_ORIGINS || origins,
    };
    this.#server = this.#keep('The HTTP API', (signal) =>
      startNodePart({
        name: 'server',
        args,
        env: serverEnv,
        directory,
        stopTimeoutMs: 15_000,
        onSpawn: this.#onSpawn,
        signal,
      }),
    );
    await requireFreePort(port, 'the HTTP API', 'Stop the program that listens there, or name another port.');
    this.#addresses.http = (await this.#server.start()).url;
  }

  /** The environment of the parts that use the others. */
  #userEnv(): NodeJS.ProcessEnv {
    const { temporal, database, model } = this.#addresses;
    return {
      ...this.options.env,
      TEMPORAL_ADDRESS: temporal,
      TEMPORAL_NAMESPACE: this.options.temporalNamespace ?? 'default',
      DATABASE_URL: database,
      ...(model ? { ANTHROPIC_BASE_URL: model } : {}),
      // The simulator takes any key, and the SDK refuses to go without one; a real key must not travel to it.
      ...(this.options.model ? {} : { ANTHROPIC_API_KEY: 'simulated', ANTHROPIC_AUTH_TOKEN: undefined }),
      ...this.options.workerEnv,
    };
  }

  #keep<Part extends PostgresServer | TemporalServer | NodePart>(
    name: string,
    begin: (signal: AbortSignal) => Promise<Part>,
  ): KeptPart<Part> {
    // A start that was cut short may still come by here after the stop has looked at all parts.
    if (this.#stopped) throw new Error('The stack is being stopped.');
    return new KeptPart(name, begin, () => this.#publishChange(), this.options.log);
  }

  readonly #onSpawn: OnSpawn = (child) => {
    this.#watchdog.add(child);
    this.#children.add(child);
  };

  #files(): string[] {
    const { directory, readyFile } = this.options;
    return [stackFile(directory), ...(readyFile ? [readyFile] : [])];
  }

  /** A file that cannot be written any more is no reason to end what runs. */
  #publishChange(): void {
    try {
      this.#publish();
    } catch (error) {
      this.options.log(`The change could not be written down: ${(error as Error).message}`);
    }
  }

  #publish(): void {
    if (!this.#complete) return;
    const info: StackInfo = { ...this.ready, supervisor: identifyProcess(process.pid)! };
    writeJson(stackFile(this.options.directory), info);
    if (this.options.readyFile) writeJson(this.options.readyFile, this.ready);
    this.options.onChange?.(this.ready);
  }
}
