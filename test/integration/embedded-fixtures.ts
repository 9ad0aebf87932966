import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { type Exit, identifyProcess, type OnSpawn } from '../../src/embedded/processes.js';
import type { StackOptions } from '../../src/embedded/stack.js';
import { until } from '../../src/embedded/waiting.js';

/** Directly under /tmp: the unprivileged user that PostgreSQL runs as must get there. */
export function temporaryDirectory(parent = '/tmp'): { path: string; remove: () => void } {
  const path = mkdtempSync(join(parent, 'holdfast-test-'));
  chmodSync(path, 0o755);
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }) };
}

/** Collects the children that a part starts, so that a test can ask whether they are gone. */
export function watchSpawns(): { onSpawn: OnSpawn; pids: number[]; exits: Promise<Exit>[] } {
  const pids: number[] = [];
  const exits: Promise<Exit>[] = [];
  const onSpawn: OnSpawn = ({ pid, exited }) => {
    pids.push(pid);
    exits.push(exited);
  };
  return { onSpawn, pids, exits };
}

export async function expectGone(pids: readonly number[], timeoutMs = 10_000): Promise<void> {
  const left = () => pids.filter((pid) => identifyProcess(pid));
  const gone = await until(() => (left().length === 0 ? true : undefined), { timeoutMs });
  if (!gone) throw new Error(`processes ${left()} are still there`);
}

/** Waits for a condition and names it when it does not come true. */
export async function eventually(
  what: string | (() => string),
  probe: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
) {
  const met = await until(async () => ((await probe()) ? true : undefined), { timeoutMs });
  if (!met) throw new Error(`not within ${timeoutMs} ms: ${typeof what === 'string' ? what : what()}`);
}

/** Listens on a port of the system's choice until `close`. */
export async function occupyPort(wanted = 0): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(wanted, '127.0.0.1', done);
  });
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return { port: address.port, close: () => new Promise((done) => server.close(() => done())) };
}

const SERVE = "process.send({ type: 'ready', url: 'http://127.0.0.1:' + port })";

/** Options of a stack whose worker, HTTP API and model are small programs that only say that they are ready. */
export function stackWithStandIns(
  directory: string,
): Pick<StackOptions, 'directory' | 'env' | 'workerCommand' | 'serverCommand' | 'simulatedClaudeCommand'> {
  return {
    directory,
    env: process.env,
    workerCommand: ['-e', "setInterval(() => {}, 1000); process.send({ type: 'ready' })"],
    serverCommand: [
      '-e',
      `const port = Number(process.env.HOLDFAST_HTTP_PORT); require('http').createServer((q, r) => r.end(process.env.HOLDFAST_UI_ORIGINS)).listen(port, '127.0.0.1', () => ${SERVE})`,
    ],
    simulatedClaudeCommand: (port) => [
      '-e',
      `const port = ${port}; require('http').createServer((q, r) => r.end('ok')).listen(port, '127.0.0.1', () => ${SERVE})`,
    ],
  };
}

/** Runs TypeScript module text in a Node process of its own, with `src` as the sources' folder. */
export function runScript(text: (src: string) => string): ChildProcess & { output: () => string } {
  const root = resolve(import.meta.dirname, '..', '..');
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', text(join(root, 'src'))], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  return Object.assign(child, { output: () => output });
}
