import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lastLines, launch, logSince, type OnSpawn } from '../src/embedded/processes.js';
import type { WorkerSettings } from './worker.js';

/** What a worker process has used so far. */
export interface Usage {
  /** Resident memory, in bytes, after a collection of garbage. */
  readonly rssBytes: number;
  readonly cpuMs: number;
}

export interface WorkerProcess {
  readonly pid: number;
  usage(): Promise<Usage>;
  stop(): Promise<void>;
}

/** Starts a worker of one side in a process of its own; resolves when it polls. */
export async function startWorkerProcess(
  settings: WorkerSettings,
  { directory, env, onSpawn }: { directory: string; env: NodeJS.ProcessEnv; onSpawn: OnSpawn },
): Promise<WorkerProcess> {
  const logFile = join(directory, 'logs', `${settings.side}.log`);
  const part = await launch({
    command: process.execPath,
    args: ['--expose-gc', '--import', 'tsx', fileURLToPath(new URL('./worker.ts', import.meta.url))],
    // Of the machine's environment nothing that could configure one side and not the other.
    env: Object.fromEntries(
      Object.entries(env).filter(([name]) => !/^(HOLDFAST|TEMPORAL|ANTHROPIC|DATABASE)_/.test(name)),
    ),
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    logFile,
    ipc: true,
    stopTimeoutMs: 20_000,
    onSpawn,
  });
  const messages = new EventEmitter();
  part.child.on('message', ({ type, ...rest }: { type: string }) => messages.emit(type, rest));
  const answerTo = async (question: object, answer: string): Promise<unknown> => {
    const ended = part.exited.then(({ cause }) => {
      throw new Error(`The worker ended (${cause}): ${lastLines(logSince(logFile, 0), 15)}`);
    });
    const answered = once(messages, answer);
    part.child.send(question);
    const [value] = await Promise.race([answered, ended]);
    return value;
  };
  try {
    await answerTo({ type: 'start', settings }, 'ready');
  } catch (error) {
    await part.stop();
    throw error;
  }
  return {
    pid: part.pid,
    usage: async () => (await answerTo({ type: 'usage' }, 'usage')) as Usage,
    stop: part.stop,
  };
}
