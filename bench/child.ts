import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lastLines, launch, logSince, type OnSpawn } from '../src/embedded/processes.js';

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

export interface WorkerProcessOptions {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly onSpawn: OnSpawn;
  /** What the process runs; it serves by `serveParent`. Default: bench/worker.ts. */
  readonly script?: URL;
}

/** Starts a worker of one side in a process of its own; resolves when it polls. */
export async function startWorkerProcess<Settings extends { readonly side: string }>(
  settings: Settings,
  { directory, env, onSpawn, script = new URL('./worker.ts', import.meta.url) }: WorkerProcessOptions,
): Promise<WorkerProcess> {
  const logFile = join(directory, 'logs', `${settings.side}.log`);
  const part = await launch({
    command: process.execPath,
    args: ['--expose-gc', '--import', 'tsx', fileURLToPath(script)],
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
