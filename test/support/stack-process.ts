import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HoldfastClient } from '../../src/client/holdfast-client.js';
import { loadConfig } from '../../src/config/index.js';
import { connectClient } from '../../src/connect.js';
import { findFreePort } from '../../src/embedded/ports.js';
import type { CallRecord } from '../../src/embedded/simulated-claude/index.js';
import type { StackReady } from '../../src/embedded/stack.js';
import { openStore, type Store } from '../../src/store/database.js';

export const BIN = fileURLToPath(new URL('../../bin/holdfast.mjs', import.meta.url));

/** The environment of a user who has set nothing of ours. */
export function cleanEnvironment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(TEMPORAL_|ANTHROPIC_|HOLDFAST_|DATABASE_URL)/.test(name),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `holdfast …` as a person does, and gives what it printed and its exit code. */
export async function runCli(args: readonly string[], env: NodeJS.ProcessEnv, stdin = ''): Promise<CommandResult> {
  const child = spawn(process.execPath, [BIN, ...args], { env: cleanEnvironment(env), cwd: tmpdir() });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  child.stdin.end(stdin);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

/** A stack of its own, started by `holdfast dev` in a child process. */
export class StackProcess {
  private constructor(
    readonly directory: string,
    readonly readyFile: string,
    private environment: NodeJS.ProcessEnv,
    private child: ChildProcess,
  ) {}

  static async start(environment: NodeJS.ProcessEnv = {}): Promise<StackProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-e2e-'));
    // PostgreSQL does not run as root; whoever it runs as must be able to enter.
    await chmod(directory, 0o755);
    const readyFile = join(directory, 'ready.json');
    const env = { HOLDFAST_DIR: directory, ...(await freePorts()), ...environment };
    const stack = new StackProcess(directory, readyFile, env, spawnDev(readyFile, env));
    await stack.untilReady();
    return stack;
  }

  /** The environment that commands need to find this stack. */
  get env(): NodeJS.ProcessEnv {
    return this.environment;
  }

  get supervisorPid(): number {
    return this.child.pid as number;
  }

  cli(args: readonly string[], stdin?: string): Promise<CommandResult> {
    return runCli(args, this.environment, stdin);
  }

  async ready(): Promise<StackReady> {
    return JSON.parse(await readFile(this.readyFile, 'utf8')) as StackReady;
  }

  /** Waits until every part serves and `accept` likes what it sees. */
  async untilReady(accept: (ready: StackReady) => boolean = () => true): Promise<StackReady> {
    return until('the stack is ready', async () => {
      if (this.child.exitCode !== null) throw new Error(`dev ended with ${this.child.exitCode}`);
      const ready = await this.ready().catch(() => undefined);
      const complete = ready !== undefined && this.isComplete(ready.processes);
      return complete && accept(ready) ? ready : undefined;
    });
  }

  private isComplete({ worker, temporal, postgres, model, server }: StackReady['processes']): boolean {
    const { HOLDFAST_WORKERS, TEMPORAL_ADDRESS, DATABASE_URL, ANTHROPIC_BASE_URL } = this.environment;
    return (
      server !== null &&
      (worker.length > 0 || HOLDFAST_WORKERS === '0') &&
      (temporal !== null || TEMPORAL_ADDRESS !== undefined) &&
      (postgres !== null || DATABASE_URL !== undefined) &&
      (model !== null || ANTHROPIC_BASE_URL !== undefined)
    );
  }

  /** A client and a store on this stack, for the length of `run`. */
  async use<Result>(run: (client: HoldfastClient, store: Store) => Promise<Result>): Promise<Result> {
    const { temporalAddress, databaseUrl } = await this.ready();
    const config = await loadConfig({ env: cleanEnvironment(this.environment) });
    const temporal = { address: temporalAddress as string, namespace: 'default' };
    const { client, close } = connectClient(config, { temporal, databaseUrl: databaseUrl as string });
    const store = openStore(databaseUrl as string, { maxConnections: 2 });
    try {
      return await run(client, store);
    } finally {
      await store.close();
      await close();
    }
  }

  /** The control interface of the simulated Claude. */
  async simulator(method: 'GET' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const { modelUrl } = await this.ready();
    const response = await fetch(`${modelUrl}/__sim/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  async calls(): Promise<readonly CallRecord[]> {
    return ((await this.simulator('GET', 'calls?limit=20000')) as { calls: CallRecord[] }).calls;
  }

  /** Ends the supervisor, by SIGKILL as a power cut would, and starts another one on the same directory. */
  async restart(signal: 'SIGKILL' | 'SIGTERM', changes: NodeJS.ProcessEnv = {}): Promise<void> {
    await this.end(signal);
    this.environment = { ...this.environment, ...changes };
    this.child = spawnDev(this.readyFile, this.environment);
    await rm(this.readyFile, { force: true });
    await this.untilReady();
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    const ended = new Promise<number | null>((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    return ended;
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Named ports, because two stacks that start at the same moment would both prefer the same ones. */
async function freePorts(): Promise<NodeJS.ProcessEnv> {
  const names = ['TEMPORAL', 'TEMPORAL_UI', 'POSTGRES', 'MODEL', 'HTTP'];
  const ports = await Promise.all(names.map(() => findFreePort()));
  return Object.fromEntries(names.map((name, index) => [`HOLDFAST_${name}_PORT`, String(ports[index])]));
}

function spawnDev(readyFile: string, env: NodeJS.ProcessEnv): ChildProcess {
  return spawn(process.execPath, [BIN, 'dev', '--ready-file', readyFile], {
    env: cleanEnvironment(env),
    cwd: tmpdir(),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** Polls until `probe` gives something; fails with `what` after a minute. */
export async function until<Value>(what: string, probe: () => Promise<Value | undefined | false>): Promise<Value> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`Waited two minutes in vain until ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
