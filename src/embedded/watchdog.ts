import { type ChildProcess, spawn } from 'node:child_process';
import type { Exit } from './processes.js';

/**
 * The watchdog's program, run by plain Node from a string because sources run uncompiled in a clone and compiled in a
 * package. It reads "add PID SIGNAL" and "remove PID" lines; when its input ends, its supervisor is gone, and it ends
 * what was added: with the signal, and by force four seconds later. It is in a process group of its own, so that
 * Ctrl-C and the end of a terminal do not reach it.
 */
const PROGRAM = `
process.title = 'holdfast-watchdog';
const children = new Map();
let rest = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => {
  const lines = (rest + chunk).split('\\n');
  rest = lines.pop();
  for (const line of lines) {
    const [verb, pid, signal] = line.split(' ');
    if (verb === 'add') children.set(Number(pid), signal);
    else children.delete(Number(pid));
  }
});
const send = (pid, signal) => { try { return process.kill(pid, signal); } catch { return false; } };
const endAll = () => {
  for (const [pid, signal] of children) send(pid, signal);
  const deadline = Date.now() + 4000;
  const timer = setInterval(() => {
    for (const pid of children.keys()) if (!send(pid, 0)) children.delete(pid);
    if (children.size === 0) process.exit();
    if (Date.now() < deadline) return;
    for (const pid of children.keys()) send(pid, 'SIGKILL');
    clearInterval(timer);
    process.exit();
  }, 50);
};
process.stdin.on('end', endAll);
process.stdin.on('error', endAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
`;

/** Ends the children when this process dies without doing so, as under kill -9. */
export class Watchdog {
  readonly #children = new Map<number, NodeJS.Signals>();
  #process: ChildProcess | null = null;
  #closed = false;

  constructor(private readonly env: NodeJS.ProcessEnv) {
    this.#start();
  }

  /** Watches over a child until it has ended. */
  readonly add = (child: { pid: number; stopSignal: NodeJS.Signals; exited: Promise<Exit> }): void => {
    this.#children.set(child.pid, child.stopSignal);
    this.#tell(`add ${child.pid} ${child.stopSignal}`);
    void child.exited.then(() => {
      this.#children.delete(child.pid);
      this.#tell(`remove ${child.pid}`);
    });
  };

  /** Pids of the children that run. */
  get children(): number[] {
    return [...this.#children.keys()];
  }

  /** Resolves when the watchdog is gone; children that are still there are ended by it. */
  async close(): Promise<void> {
    this.#closed = true;
    const running = this.#process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const gone = new Promise((resolve) => running.once('exit', resolve));
    running.stdin?.end();
    await gone;
  }

  #start(): void {
    const child = spawn(process.execPath, ['-e', PROGRAM], {
      cwd: '/',
      env: { ...this.env, NODE_OPTIONS: undefined },
      detached: true,
      windowsHide: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#process = child;
    child.on('error', () => {});
    child.stdin?.on('error', () => {});
    child.once('exit', () => {
      if (!this.#closed) this.#start();
    });
    for (const [pid, signal] of this.#children) this.#tell(`add ${pid} ${signal}`);
  }

  #tell(line: string): void {
    if (this.#process?.stdin?.writable) this.#process.stdin.write(`${line}\n`);
  }
}
