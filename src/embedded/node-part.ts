import { join } from 'node:path';
import { HoldfastError } from '../contracts/errors.js';
import { lastLines, launch, logSince, logSize, type OnSpawn, type RunningPart } from './processes.js';

export interface NodePartOptions {
  readonly name: string;
  /** Arguments of Node: the program and its own arguments. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
  readonly stopTimeoutMs: number;
  readonly onSpawn?: OnSpawn;
  readonly signal?: AbortSignal;
}

/** What a child sends over its IPC channel when it serves. */
export interface ReadyMessage {
  readonly type: 'ready';
  readonly url?: string;
}

export interface NodePart extends RunningPart {
  readonly url: string | null;
}

const START_TIMEOUT_MS = 60_000;

/**
 * Starts a Node program as a part of the stack and resolves when it has sent `{ type: 'ready' }`.
 * @throws HoldfastError `PART_FAILED` with the end of its log
 */
export async function startNodePart(options: NodePartOptions): Promise<NodePart> {
  const { name, signal } = options;
  const logFile = join(options.directory, 'logs', `${name}.log`);
  signal?.throwIfAborted();
  const logStart = logSize(logFile);
  const part = await launch({
    command: process.execPath,
    args: options.args,
    env: options.env,
    cwd: process.cwd(),
    logFile,
    ipc: true,
    stopTimeoutMs: options.stopTimeoutMs,
    onSpawn: options.onSpawn,
  });
  const ready = new Promise<ReadyMessage>((resolve) => {
    part.child.on('message', (message) => {
      if ((message as ReadyMessage | null)?.type === 'ready') resolve(message as ReadyMessage);
    });
  });
  const failure = (why: string) =>
    new HoldfastError(
      'PART_FAILED',
      `${name} did not start (${why}). Its log ends with:\n${lastLines(logSince(logFile, logStart), 15)}`,
      `Read ${logFile}.`,
    );
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  try {
    const message = await Promise.race([
      ready,
      part.exited.then(({ cause }) => Promise.reject(failure(cause))),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(failure('not ready within 60 s')), START_TIMEOUT_MS);
        onAbort = () => reject(signal!.reason);
        if (signal?.aborted) onAbort();
        signal?.addEventListener('abort', onAbort);
      }),
    ]);
    return { pid: part.pid, exited: part.exited, stop: part.stop, url: message.url ?? null };
  } catch (error) {
    await part.stop();
    throw error;
  } finally {
    clearTimeout(timer);
    if (onAbort) signal?.removeEventListener('abort', onAbort);
  }
}
