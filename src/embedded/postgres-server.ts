import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { HoldfastError } from '../contracts/errors.js';
import { portInUse, requireFreePort } from './ports.js';
import { asAccount, unprivilegedAccount } from './postgres-account.js';
import { locatePostgres } from './postgres-binaries.js';
import { type Cluster, DATABASE_NAME, damagedCluster, prepareCluster, SYSTEM_DIRECTORY } from './postgres-cluster.js';
import {
  identifyProcess,
  type LaunchedProcess,
  lastLines,
  launch,
  logSince,
  logSize,
  type OnSpawn,
  programOf,
  type RunningPart,
} from './processes.js';
import { until } from './waiting.js';

export interface PostgresOptions {
  /** Holds `postgres/`, `postgres-password` and `logs/postgres.log`; made when missing. */
  readonly directory: string;
  readonly port: number;
  readonly log: (line: string) => void;
  /** Where a copy of the binaries may be kept for this user; root uses /var/lib/holdfast. */
  readonly cacheDirectory: string;
  readonly onSpawn?: OnSpawn;
  readonly signal?: AbortSignal;
  /** How long a server that is still going down on the same data is waited for, in milliseconds. Default: 10,000. */
  readonly leftoverTimeoutMs?: number;
  /** Replaces /var/lib/holdfast. */
  readonly systemDirectory?: string;
}

export interface PostgresServer extends RunningPart {
  /** With user and password. */
  readonly url: string;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
const PORT_REMEDY = 'Stop the program that listens there, or choose another port for PostgreSQL.';

/**
 * Starts PostgreSQL on its own data directory, on 127.0.0.1 only, and resolves when it takes queries. Crash-safe: fsync
 * stays on.
 * @throws HoldfastError `PORT_IN_USE`, `DIRECTORY_IN_USE`, `DIRECTORY_DAMAGED`, `PART_MISSING`, `PART_FAILED`
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { directory, port, signal, leftoverTimeoutMs = 10_000 } = options;
  const systemDirectory = options.systemDirectory ?? SYSTEM_DIRECTORY;
  const account = await unprivilegedAccount();
  const binaries = await locatePostgres(account, account ? systemDirectory : options.cacheDirectory);
  const cluster = await prepareCluster({ directory, account, binaries, log: options.log, systemDirectory });
  const deadline = Date.now() + leftoverTimeoutMs;
  await waitForLeftover(cluster.data, directory, leftoverTimeoutMs, options);
  await requireFreePort(port, 'PostgreSQL', PORT_REMEDY);

  for (;;) {
    signal?.throwIfAborted();
    const logFile = join(directory, 'logs', 'postgres.log');
    const logStart = logSize(logFile);
    const server = await launch({
      command: binaries.postgres,
      args: ['-D', cluster.data, ...settings(port)],
      env: { LC_ALL: 'C', TZ: 'UTC' },
      cwd: cluster.data,
      logFile,
      ...asAccount(account),
      // "Fast": SIGTERM would wait until every client has gone by itself.
      stopSignal: 'SIGINT',
      stopTimeoutMs: STOP_TIMEOUT_MS,
      onSpawn: options.onSpawn,
    });
    try {
      await waitUntilReady(server, cluster, signal);
      if (!server.exit()) {
        const url = await openDatabase(cluster, port, join(directory, 'postgres-password'), server);
        return { pid: server.pid, exited: server.exited, stop: server.stop, url };
      }
    } catch (error) {
      await server.stop();
      throw error;
    }
    const text = logSince(logFile, logStart);
    // Children of a killed server hold its shared memory for a moment longer.
    if (/shared memory block|lock file ".*" already exists/.test(text)) {
      if (Date.now() < deadline) {
        await until(() => undefined, { timeoutMs: 100, signal });
        continue;
      }
      throw inUse(directory, 'processes of another PostgreSQL server');
    }
    throw explain(text, server.exit()?.cause ?? 'unknown', directory, logFile, port);
  }
}

function settings(port: number): string[] {
  const values = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '128MB',
    logging_collector: 'off',
    timezone: 'UTC',
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Lines of postmaster.pid: 1 the pid, 8 the state of the server. */
function readPidFile(data: string): { pid: number; status: string } | null {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return { pid: Number(lines[0]), status: (lines[7] ?? '').trim() };
  } catch {
    return null;
  }
}

async function waitForLeftover(
  data: string,
  directory: string,
  timeoutMs: number,
  { log, signal }: PostgresOptions,
): Promise<void> {
  const holder = readPidFile(data);
  if (!holder || !identifyProcess(holder.pid)) return;
  if (!/postgres/.test(programOf(holder.pid)) && process.platform !== 'win32') {
    // After a power cut the pid may belong to anybody; PostgreSQL itself would refuse to start.
    log(`PostgreSQL's lock names process ${holder.pid}, which is another program: removing the lock.`);
    rmSync(join(data, 'postmaster.pid'), { force: true });
    return;
  }
  const gone = await until(() => (identifyProcess(holder.pid) ? undefined : true), { timeoutMs, signal });
  if (!gone) throw inUse(directory, `the PostgreSQL server with process id ${holder.pid}`);
}

function inUse(directory: string, holder: string): HoldfastError {
  return new HoldfastError(
    'DIRECTORY_IN_USE',
    `${join(directory, 'postgres')} is in use by ${holder}.`,
    'Stop that server, or use another state directory (HOLDFAST_DIR).',
  );
}

async function waitUntilReady(server: LaunchedProcess, { data }: Cluster, signal?: AbortSignal): Promise<void> {
  const state = await until(
    () => {
      if (server.exit()) return true;
      const file = readPidFile(data);
      return file?.pid === server.pid && file.status === 'ready' ? true : undefined;
    },
    { timeoutMs: START_TIMEOUT_MS, intervalMs: 10, signal },
  );
  if (!state) {
    throw new HoldfastError(
      'PART_FAILED',
      'PostgreSQL was not ready within 60 s; it may still be recovering from a crash.',
      'Start again; if that does not help, read logs/postgres.log in the state directory.',
    );
  }
}

async function openDatabase(
  { password }: Cluster,
  port: number,
  passwordFile: string,
  server: LaunchedProcess,
): Promise<string> {
  const connectTo = (database: string) => `postgres://${DATABASE_NAME}:${password}@127.0.0.1:${port}/${database}`;
  const client = new Client({ connectionString: connectTo('postgres'), connectionTimeoutMillis: 10_000 });
  // Without a listener a server that dies now would end this process.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE_NAME]);
    if (!rowCount) await client.query(`create database ${DATABASE_NAME}`);
  } catch (error) {
    if ((error as { code?: string }).code === '28P01')
      throw damagedCluster(`the database does not accept the password in ${passwordFile}`, passwordFile);
    throw new HoldfastError(
      'PART_FAILED',
      `PostgreSQL started but does not answer: ${(error as Error).message} (${server.exit()?.cause ?? 'it still runs'})`,
      'Read logs/postgres.log in the state directory.',
      { cause: error },
    );
  } finally {
    await client.end().catch(() => {});
  }
  return connectTo(DATABASE_NAME);
}

function explain(text: string, cause: string, directory: string, logFile: string, port: number): HoldfastError {
  if (/could not bind|could not create any TCP\/IP sockets/.test(text))
    return portInUse(port, 'PostgreSQL', PORT_REMEDY);
  const damage = new RegExp(
    [
      /.*could not (open|read|stat) (file|directory) "(global|base|pg_)[^"\n]*".*/,
      /.*(incorrect|invalid) (checksum|checkpoint|control file|magic number|page).*/,
      /.*could not locate (a valid|required) checkpoint.*/,
      /.*could not find the database system.*/,
      /.*database files are incompatible with server.*/,
      /PANIC: .*/,
    ]
      .map((pattern) => pattern.source)
      .join('|'),
    'i',
  ).exec(text);
  if (damage) return damagedCluster(damage[0].trim(), join(directory, 'postgres'));
  return new HoldfastError(
    'PART_FAILED',
    `PostgreSQL did not start (${cause}). Its log ends with:\n${lastLines(text)}`,
    `Read ${logFile}.`,
  );
}
