import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { HoldfastError } from '../contracts/errors.js';
import { until } from './waiting.js';

/** Identifies a process beyond its pid, which the system gives out again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in whatever form the system tells it; empty where the system does not tell. */
  readonly startedAt: string;
}

/** How a process ended, as a phrase for a log line. */
export interface Exit {
  readonly cause: string;
}

/** A part of the stack that runs as a child process. */
export interface RunningPart {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Ends it cleanly, by force when that takes too long; resolves when it is gone. */
  stop(): Promise<void>;
}

/** Called with each child as soon as it exists, so that somebody can end it should this process die. */
export type OnSpawn = (child: { pid: number; stopSignal: NodeJS.Signals; exited: Promise<Exit> }) => void;

/** Null for a process that is gone; one that has ended but was not reaped by its parent counts as gone. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  if (!Number.isInteger(pid) || pid <= 0) return null;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return null;
  }
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The command's name, in parentheses, may itself hold spaces and parentheses: count from its end.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (fields[0] === 'Z' || fields[0] === 'X') return null;
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      return { pid, startedAt: `${boot}:${fields[19]}` };
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : { pid, startedAt: '' };
    }
  }
  return { pid, startedAt: process.platform === 'win32' ? '' : askPs(pid, 'lstart=') };
}

/** Name of the program that runs under a pid; empty when unknown. */
export function programOf(pid: number): string {
  if (process.platform === 'win32') return '';
  if (process.platform !== 'linux') return askPs(pid, 'comm=');
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function askPs(pid: number, column: string): string {
  try {
    return execFileSync('ps', ['-o', column, '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

/** Whether the very process that was identified earlier still runs. */
export function isRunning(identity: ProcessIdentity): boolean {
  const now = identifyProcess(identity.pid);
  return now !== null && now.startedAt === identity.startedAt;
}

/** Signals a process; false when it is gone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

export interface LaunchOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Standard output and error are appended to it. */
  readonly logFile: string;
  readonly ipc?: boolean;
  readonly uid?: number;
  readonly gid?: number;
  /** Asks for a clean end. Default: SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** How long a clean end may take before it is forced, in milliseconds. */
  readonly stopTimeoutMs: number;
  readonly onSpawn?: OnSpawn;
}

export interface LaunchedProcess extends RunningPart {
  readonly child: ChildProcess;
  /** Null while it runs. */
  readonly exit: () => Exit | null;
}

/**
 * Starts a child process in a process group of its own: Ctrl-C in a terminal reaches the whole foreground group, and the
 * parts must go down in order.
 * @throws HoldfastError `PART_FAILED` when it could not be started at all
 */
export async function launch(options: LaunchOptions): Promise<LaunchedProcess> {
  const stopSignal = options.stopSignal ?? 'SIGTERM';
  mkdirSync(dirname(options.logFile), { recursive: true, mode: 0o700 });
  const log = openSync(options.logFile, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(options.command, options.args, {
      cwd: options.cwd,
      env: options.env,
      detached: process.platform !== 'win32',
      windowsHide: true,
      stdio: options.ipc ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
    });
  } finally {
    closeSync(log);
  }
  let exit: Exit | null = null;
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      exit = { cause: signal ? `ended by ${signal}` : `exit code ${code}` };
      resolve(exit);
    });
  });
  if (child.pid) options.onSpawn?.({ pid: child.pid, stopSignal, exited });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      reject(
        new HoldfastError(
          'PART_FAILED',
          `${options.command} could not be started: ${cause.message}`,
          'Check that the file exists, is executable and fits this system.',
          { cause },
        ),
      );
    });
  });
  // A later error is a failed kill or message; what became of the process shows in its exit.
  child.on('error', () => {});
  const pid = child.pid!;
  const stop = async () => {
    if (exit) return;
    child.kill(stopSignal);
    const clean = await until(() => exit ?? undefined, { timeoutMs: options.stopTimeoutMs, intervalMs: 10 });
    if (!clean) child.kill('SIGKILL');
    await exited;
  };
  return { pid, child, exited, exit: () => exit, stop };
}

/** Size of a log file, to read later with {@link logSince} what one start has added. */
export function logSize(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

export function logSince(file: string, offset: number): string {
  try {
    return readFileSync(file).subarray(offset).toString('utf8');
  } catch {
    return '';
  }
}

/** The last lines of a log, for an error message. */
export function lastLines(text: string, count = 5): string {
  return text.trim().split('\n').slice(-count).join('\n');
}
