import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  Connection,
  type ConnectionOptions,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  type TestService,
} from '@temporalio/client';
import { InternalConnectionOptionsSymbol } from '@temporalio/client/lib/connection.js';
import { msToTs, tsToMs } from '@temporalio/common/lib/time.js';
import { HoldfastError } from '../contracts/errors.js';
import { locateTemporal, locateTimeSkippingServer } from '../embedded/binaries.js';
import { findFreePort } from '../embedded/ports.js';
import { lastLines, launch, type OnSpawn } from '../embedded/processes.js';
import { startTemporalServer } from '../embedded/temporal-server.js';
import { until } from '../embedded/waiting.js';

/** A Temporal server for tests. */
export interface TestTemporal {
  readonly address: string;
  /** Undefined where time cannot be skipped. */
  readonly clock?: SkippingClock;
  stop(): Promise<void>;
}

/** The time of a server that can skip some. */
export interface SkippingClock {
  /** Milliseconds since 1970. */
  now(): Promise<number>;
  /** Skips so many milliseconds. Throws when an activity is in flight and does not end: none are skipped meanwhile. */
  skip(ms: number): Promise<void>;
}

export interface TestTemporalOptions {
  /** For data and logs. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly onSpawn: OnSpawn;
  readonly log: (line: string) => void;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
/** A skip takes milliseconds, unless an activity is in flight. */
const SKIP_TIMEOUT_MS = 10_000;

/** The development server as `holdfast dev` runs it. */
export async function startTestDevServer({ log, ...options }: TestTemporalOptions): Promise<TestTemporal> {
  const executable = await locateTemporal({ env: options.env, log });
  const [port, uiPort] = [await findFreePort(), await findFreePort()];
  const { address, stop } = await startTemporalServer({ ...options, executable, port, uiPort });
  return { address, stop };
}

/**
 * Temporal's time-skipping test server, with its time locked: it goes on like ours and is skipped only when asked for. Run
 * as a child of ours and not by Temporal's own test package, whose server outlives a test run that is killed.
 */
export async function startTimeSkippingServer(options: TestTemporalOptions): Promise<TestTemporal> {
  const { directory, env, onSpawn } = options;
  const notes: string[] = [];
  const executable = await locateTimeSkippingServer({ env, log: (line) => notes.push(line) });
  if (executable === null) {
    throw new HoldfastError(
      'PART_MISSING',
      `Temporal's time-skipping test server was not found. ${notes.join(' ')}`,
      "Use { temporal: 'dev' }, where time runs as it does, or let this machine download the server once.",
    );
  }
  const port = await findFreePort();
  const logFile = join(directory, 'temporal-test-server.log');
  await mkdir(directory, { recursive: true });
  const args = [String(port)];
  const server = await launch({
    command: executable,
    args,
    env,
    cwd: directory,
    logFile,
    stopTimeoutMs: STOP_TIMEOUT_MS,
    onSpawn,
  });
  const address = `127.0.0.1:${port}`;
  const connection = await until(async () => (server.exit() ? null : connect(address)), {
    timeoutMs: START_TIMEOUT_MS,
  });
  if (!connection) {
    await server.stop();
    throw new HoldfastError(
      'PART_FAILED',
      `Temporal's test server did not start. Its log ends with:\n${lastLines(await readFile(logFile, 'utf8'))}`,
      "Use { temporal: 'dev' } if it does not run on this system.",
    );
  }
  const service = connection.testService as TestService;
  return {
    address,
    clock: {
      now: async () => tsToMs((await service.getCurrentTime({})).time),
      skip: (ms) => skip(connection, service, ms),
    },
    stop: async () => {
      await connection.close();
      await server.stop();
    },
  };
}

/** A connection with the server's service for tests; undefined while there is none. */
async function connect(address: string): Promise<Connection | undefined> {
  const withTestService = { [InternalConnectionOptionsSymbol]: { supportsTestService: true } };
  const options: ConnectionOptions = { address, connectTimeout: 2_000, ...withTestService };
  return Connection.connect(options).catch(() => undefined);
}

async function skip(connection: Connection, service: TestService, ms: number): Promise<void> {
  try {
    await connection.withDeadline(Date.now() + SKIP_TIMEOUT_MS, () =>
      service.unlockTimeSkippingWithSleep({ duration: msToTs(ms) }),
    );
  } catch (error) {
    // When the deadline passes, either the server says so or the SDK's retries give up.
    if (!isGrpcDeadlineError(error) && !isGrpcCancelledError(error)) throw error;
    throw new HoldfastError(
      'FAILED',
      'No time could be skipped: Temporal does not skip any while an activity, such as the call of a model, is in flight.',
      'Let the open calls end first.',
      { cause: error },
    );
  }
}
