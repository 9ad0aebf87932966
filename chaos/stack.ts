import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stackEnvironment } from '../src/config/index.js';
import { cacheDirectory, locateTemporal } from '../src/embedded/binaries.js';
import { KeptPart } from '../src/embedded/kept-part.js';
import { startNodePart } from '../src/embedded/node-part.js';
import { findFreePort } from '../src/embedded/ports.js';
import { startPostgres } from '../src/embedded/postgres-server.js';
import { type RunningPart, signalProcess } from '../src/embedded/processes.js';
import type { FaultRule } from '../src/embedded/simulated-claude/faults.js';
import type { CallRecord } from '../src/embedded/simulated-claude/types.js';
import { startTemporalServer } from '../src/embedded/temporal-server.js';
import { pause } from '../src/embedded/waiting.js';
import { Watchdog } from '../src/embedded/watchdog.js';
import { Link } from './link.js';
import type { Disturbance, Target } from './plan.js';

/** What was done to the run, and until when it lasted: a kill until the part served again. Milliseconds since 1970. */
export interface Done extends Pick<Disturbance, 'action' | 'target'> {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Where a process finds the servers. */
export interface Addresses {
  readonly temporalAddress: string;
  readonly databaseUrl: string;
}

const SERVERS = ['Temporal', 'PostgreSQL', 'simulated Claude'] as const;
type Server = (typeof SERVERS)[number];
const WORKERS = ['worker-1', 'worker-2'] as const;
type User = (typeof WORKERS)[number] | 'client';

/** More than the chains need: the run is about faults, and refusals are among them. */
const LIMITS = { requestsPerMinute: 6_000, inputTokensPerMinute: 6_000_000, outputTokensPerMinute: 1_000_000 };
const LATENCY = { firstTokenMs: 800, msPerOutputToken: 8 };
const IDLE_TIMEOUT_MS = 3_000;
const LOG_SIZE = 1_000_000;
/** A part that was killed and does not come back in so long would not without help. */
const BACK_WITHIN_MS = 90_000;

/**
 * A stack of its own, each part in a process that is started again when it dies, and all ways between workers, clients and
 * servers such that they can be cut.
 */
export class ChaosStack {
  readonly #closing: (() => Promise<unknown>)[] = [];
  readonly #parts = new Map<Target, KeptPart<RunningPart>>();
  readonly #links = new Map<`${User} ${Server}`, Link>();
  #faults: readonly FaultRule[] = [];
  #modelUrl = '';
  #direct: Addresses = { temporalAddress: '', databaseUrl: '' };

  private constructor(private readonly log: (line: string) => void) {}

  /** @param log told what becomes of the parts */
  static async start(seed: number, log: (line: string) => void): Promise<ChaosStack> {
    const stack = new ChaosStack(log);
    try {
      await stack.#start(seed);
      return stack;
    } catch (error) {
      await stack.stop();
      throw error;
    }
  }

  /** For whoever checks: past all links. */
  get direct(): Addresses {
    return this.#direct;
  }

  /** For clients: their ways are cut with those of the workers. */
  get client(): Addresses {
    return this.#addressesOf('client');
  }

  async stop(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  /** Does one thing of the plan; resolves when it is over. */
  async disturb({ action, target, forMs }: Disturbance): Promise<Done> {
    const part = this.#parts.get(target)!;
    const running = await this.#running(part);
    const fromMs = Date.now();
    if (action === 'kill') {
      signalProcess(running.pid, 'SIGKILL');
      await running.exited;
      await this.#running(part);
    } else if (action === 'pause') {
      // PostgreSQL serves each connection by a process of its own; without its parent no new one comes.
      signalProcess(running.pid, 'SIGSTOP');
      const pids = [running.pid, ...childrenOf(running.pid)];
      for (const pid of pids) signalProcess(pid, 'SIGSTOP');
      await pause(forMs);
      for (const pid of pids) signalProcess(pid, 'SIGCONT');
    } else {
      const links = [...this.#links].flatMap(([way, link]) => (way.includes(target) ? [link] : []));
      for (const link of links) link.cut();
      await pause(forMs);
      for (const link of links) link.mend();
    }
    return { action, target, fromMs, untilMs: Date.now() };
  }

  /** Replaces the provider's faults, also for a simulator that is started again later. Resolves when they are in force. */
  async setFaults(rules: readonly FaultRule[]): Promise<void> {
    this.#faults = rules;
    while (this.#faults === rules) {
      try {
        await this.#simulator('PUT', 'faults', rules);
        return;
      } catch {
        // It is down or stopped.
        await pause(200);
      }
    }
  }

  /** All calls that the simulated Claude has seen, those before its kills included. */
  async calls(): Promise<CallRecord[]> {
    return ((await this.#simulator('GET', 'calls')) as { calls: CallRecord[] }).calls;
  }

  async #simulator(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#modelUrl}/__sim/${path}`, {
      method,
      signal: AbortSignal.timeout(30_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  async #running(part: KeptPart<RunningPart>): Promise<RunningPart> {
    for (const giveUpAt = Date.now() + BACK_WITHIN_MS; Date.now() < giveUpAt; ) {
      if (part.current !== null) return part.current;
      await pause(50);
    }
    throw new Error(`${part.name} did not come back within ${BACK_WITHIN_MS / 1_000} s.`);
  }

  async #start(seed: number): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-chaos-'));
    this.#closing.push(() => rm(directory, { recursive: true, force: true }));
    // PostgreSQL does not run as root; whoever it runs as must be able to enter.
    await chmod(directory, 0o755);
    // Nothing of the machine's own configuration.
    const env = Object.fromEntries(
      Object.entries(stackEnvironment()).filter(([name]) => !/^(HOLDFAST|TEMPORAL|ANTHROPIC|DATABASE)_/.test(name)),
    );
    const watchdog = new Watchdog(env);
    this.#closing.push(() => watchdog.close());
    const shared = { directory, env, onSpawn: watchdog.add };
    const log = this.log;
    const cache = stackEnvironment();

    const [temporalPort, uiPort, databasePort, modelPort] = await Promise.all([0, 1, 2, 3].map(() => findFreePort()));
    const executable = await locateTemporal({ env: cache, log });
    const temporal = await this.#keep('Temporal', (signal) =>
      startTemporalServer({ ...shared, executable, port: temporalPort!, uiPort: uiPort!, signal }),
    );
    const postgres = await this.#keep('PostgreSQL', (signal) =>
      startPostgres({ ...shared, port: databasePort!, log, cacheDirectory: cacheDirectory(cache), signal }),
    );
    this.#direct = { temporalAddress: temporal.address, databaseUrl: postgres.url };
    this.#modelUrl = `http://127.0.0.1:${modelPort}`;
    await this.#keep('simulated Claude', (signal) => {
      const logFile = join(directory, 'calls.jsonl');
      const options = { port: modelPort, logFile, logSize: LOG_SIZE, latency: LATENCY, seed, faults: this.#faults };
      const args = [...TSX, script('./simulator.ts'), JSON.stringify({ ...options, limits: LIMITS })];
      return startNodePart({ ...shared, name: 'model', args, stopTimeoutMs: 3_000, signal });
    });

    const ports = { Temporal: temporalPort!, PostgreSQL: databasePort!, 'simulated Claude': modelPort! };
    for (const user of [...WORKERS, 'client'] as const) {
      for (const server of SERVERS) {
        const link = await Link.to(ports[server]);
        this.#links.set(`${user} ${server}`, link);
        this.#closing.push(() => link.close());
      }
    }
    // One after another: the first lays out the schema.
    for (const worker of WORKERS) {
      const { temporalAddress, databaseUrl } = this.#addressesOf(worker);
      const workerEnv = {
        ...env,
        TEMPORAL_ADDRESS: temporalAddress,
        DATABASE_URL: databaseUrl,
        ANTHROPIC_BASE_URL: `http://127.0.0.1:${this.#links.get(`${worker} simulated Claude`)!.port}`,
        ANTHROPIC_API_KEY: 'simulated',
        HOLDFAST_IDLE_TIMEOUT_MS: String(IDLE_TIMEOUT_MS),
        HOLDFAST_REQUESTS_PER_MINUTE: String(LIMITS.requestsPerMinute),
        HOLDFAST_INPUT_TOKENS_PER_MINUTE: String(LIMITS.inputTokensPerMinute),
        HOLDFAST_OUTPUT_TOKENS_PER_MINUTE: String(LIMITS.outputTokensPerMinute),
        // Short, as the run is: what fails is held, and comes again, within it.
        HOLDFAST_HEAVY_INITIAL_DELAY_MS: '1000',
      };
      await this.#keep(worker, (signal) =>
        startNodePart({
          ...shared,
          env: workerEnv,
          name: worker,
          args: [...TSX, script('./worker.ts')],
          stopTimeoutMs: 15_000,
          signal,
        }),
      );
    }
  }

  #addressesOf(user: User): Addresses {
    const url = new URL(this.#direct.databaseUrl);
    url.port = String(this.#links.get(`${user} PostgreSQL`)!.port);
    return {
      temporalAddress: `127.0.0.1:${this.#links.get(`${user} Temporal`)!.port}`,
      databaseUrl: url.href,
    };
  }

  async #keep<Part extends RunningPart>(target: Target, begin: (signal: AbortSignal) => Promise<Part>): Promise<Part> {
    const part = new KeptPart(target, begin, () => {}, this.log);
    const first = await part.start();
    this.#parts.set(target, part);
    this.#closing.push(() => part.stop());
    return first;
  }
}

const TSX = ['--import', 'tsx'];

function script(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function childrenOf(pid: number): number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
  const pairs = lines.map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.flatMap(([child, parent]) => (parent === pid ? [child!] : []));
}
