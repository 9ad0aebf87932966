import { chmodSync, closeSync, existsSync, openSync, readdirSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { HoldfastError } from '../contracts/errors.js';
import { portInUse, requireFreePort } from './ports.js';
import { lastLines, launch, logSince, logSize, type OnSpawn, type RunningPart } from './processes.js';
import { until } from './waiting.js';

export interface TemporalServerOptions {
  /** Path of Temporal's CLI, see `locateTemporal`. */
  readonly executable: string;
  /** Holds `temporal.db` and `logs/temporal.log`; made when missing. */
  readonly directory: string;
  readonly port: number;
  readonly uiPort: number;
  /** Default: `default`. */
  readonly namespace?: string;
  /** What the web UI asks for what payloads stand for. Default: nobody. */
  readonly codecUrl?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly onSpawn?: OnSpawn;
  readonly signal?: AbortSignal;
}

export interface TemporalServer extends RunningPart {
  readonly address: string;
  readonly uiUrl: string;
}

/**
 * The development server serves from one history shard whose transfer queue is polled 20 times a second by default:
 * about 45 ms for each hop of a workflow. Strict priority needs one partition per task queue, and fairness is off
 * unless it is asked for.
 */
export const DYNAMIC_CONFIG = [
  'history.transferProcessorMaxPollRPS=2000',
  'matching.numTaskqueueReadPartitions=1',
  'matching.numTaskqueueWritePartitions=1',
  'matching.enableFairness=true',
];

/** WAL with normal synchronisation survives a kill of the server; only a power cut can lose the last moments. */
const SQLITE_PRAGMAS = ['journal_mode=WAL', 'synchronous=NORMAL'];

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const PORT_REMEDY = 'Stop the program that listens there, or choose other ports for Temporal.';

/**
 * Starts Temporal's development server on a file, on the loopback interface only, and resolves when its frontend, its
 * namespace and its web UI answer.
 * @throws HoldfastError `PORT_IN_USE`, `DIRECTORY_DAMAGED`, `PART_FAILED`
 */
export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const { directory, port, uiPort, namespace = 'default', codecUrl, signal } = options;
  const database = join(directory, 'temporal.db');
  const unfinished = join(directory, 'temporal.db.unfinished');
  const logFile = join(directory, 'logs', 'temporal.log');
  await mkdir(directory, { recursive: true });
  await requireFreePort(port, "Temporal's frontend", PORT_REMEDY);
  await requireFreePort(uiPort, "Temporal's web UI", PORT_REMEDY);

  // The server lays out its schema only in a file that does not exist yet: one left by a kill in the middle of its first
  // start would never serve. It has not served anybody, so nothing is lost by starting afresh.
  if (existsSync(unfinished)) removeDatabase(directory);
  if (existsSync(database)) requireSqliteHeader(database);
  else writeFileSync(unfinished, '');

  signal?.throwIfAborted();
  const logStart = logSize(logFile);
  const server = await launch({
    command: options.executable,
    args: [
      ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort)],
      ...['--db-filename', database, '--log-level', 'warn'],
      ...(namespace === 'default' ? [] : ['--namespace', namespace]),
      ...(codecUrl === undefined ? [] : ['--ui-codec-endpoint', codecUrl]),
      ...SQLITE_PRAGMAS.flatMap((pragma) => ['--sqlite-pragma', pragma]),
      ...DYNAMIC_CONFIG.flatMap((value) => ['--dynamic-config-value', value]),
    ],
    env: options.env,
    cwd: directory,
    logFile,
    stopTimeoutMs: STOP_TIMEOUT_MS,
    onSpawn: options.onSpawn,
  });
  const address = `127.0.0.1:${port}`;
  const uiUrl = `http://127.0.0.1:${uiPort}`;
  try {
    const served = await until(
      async () => {
        if (server.exit()) return 'exited' as const;
        return (await serves(address, namespace)) && (await answers(uiUrl)) ? ('serves' as const) : undefined;
      },
      { timeoutMs: START_TIMEOUT_MS, intervalMs: 20, signal },
    );
    if (served !== 'serves') {
      throw explain(logSince(logFile, logStart), server.exit()?.cause ?? 'no answer within 60 s', database, logFile, {
        port,
        uiPort,
      });
    }
  } catch (error) {
    await server.stop();
    throw error;
  }
  rmSync(unfinished, { force: true });
  // Histories hold the inputs and results of chains.
  for (const file of databaseFiles(directory)) chmodSync(file, 0o600);
  return { pid: server.pid, exited: server.exited, stop: server.stop, address, uiUrl };
}

function databaseFiles(directory: string): string[] {
  return ['temporal.db', 'temporal.db-wal', 'temporal.db-shm']
    .filter((name) => readdirSync(directory).includes(name))
    .map((name) => join(directory, name));
}

function removeDatabase(directory: string): void {
  for (const file of databaseFiles(directory)) rmSync(file, { force: true });
}

async function serves(address: string, namespace: string): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: 2_000 });
    await connection.withDeadline(Date.now() + 2_000, () =>
      connection!.workflowService.describeNamespace({ namespace }),
    );
    return true;
  } catch {
    return false;
  } finally {
    await connection?.close();
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.status < 500;
  } catch {
    return false;
  }
}

function requireSqliteHeader(file: string): void {
  const header = Buffer.alloc(16);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, header, 0, 16, 0);
  } finally {
    closeSync(descriptor);
  }
  if (header.toString('latin1') !== 'SQLite format 3\0') throw damaged(file, 'it is not an SQLite database');
}

function damaged(file: string, why: string): HoldfastError {
  return new HoldfastError(
    'DIRECTORY_DAMAGED',
    `${file}, where Temporal keeps its workflows, is damaged: ${why}.`,
    `Restore it from a backup, or move it aside (with its -wal and -shm files) to start with an empty Temporal.`,
  );
}

function explain(
  log: string,
  cause: string,
  database: string,
  logFile: string,
  ports: { port: number; uiPort: number },
): HoldfastError {
  const corrupt = /database disk image is malformed|file is not a database|SQLITE_CORRUPT|SQLITE_NOTADB|no such table/i;
  const match = corrupt.exec(log);
  if (match) return damaged(database, match[0]);
  if (/address already in use/i.test(log)) {
    const port = log.includes(`:${ports.uiPort}`) ? ports.uiPort : ports.port;
    return portInUse(port, 'Temporal', PORT_REMEDY);
  }
  return new HoldfastError(
    'PART_FAILED',
    `Temporal's server did not start (${cause}). Its log ends with:\n${lastLines(log)}`,
    `Read ${logFile}.`,
  );
}
