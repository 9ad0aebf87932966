import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BIN, cleanEnvironment, StackProcess, until } from '../support/stack-process.js';

let stack: StackProcess;
let files: string;

beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), 'holdfast-lines-'));
  stack = await StackProcess.start();
  await stack.simulator('PUT', 'latency', { firstTokenMs: 20, msPerOutputToken: 0, msPerInputToken: 0 });
});
afterAll(async () => {
  await stack?.stop();
  await rm(files, { recursive: true, force: true });
});

const line = (name: string) =>
  JSON.stringify({
    input: { document: `Report ${name} is about tides. The sea rises twice a day. Sailors keep tables of it.` },
    key: name,
  });

interface Change {
  readonly id: string;
  readonly key: string;
  readonly state: string;
  readonly cursor: string;
}

/** `holdfast watch` as a process that can be killed. */
class Watcher {
  readonly changes: Change[] = [];
  notes = '';
  private readonly child: ChildProcess;

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [BIN, 'watch', '--json', ...args], {
      env: cleanEnvironment(stack.env),
      cwd: tmpdir(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).on('line', (text) =>
      this.changes.push(JSON.parse(text) as Change),
    );
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.notes += chunk;
    });
  }

  until(what: string, accept: () => boolean): Promise<unknown> {
    return until(`${what}; ${this.notes}`, async () => accept());
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const closed = new Promise<number | null>((resolve) => this.child.once('close', resolve));
    this.child.kill(signal);
    return closed;
  }
}

test('a file of lines with a broken one in the middle and no newline at its end', async () => {
  const file = join(files, 'lines.jsonl');
  await writeFile(file, [line('a'), '{"input":', line('b')].join('\n'));
  const result = await stack.cli(['submit', 'analyzeDocument', '--lines', file, '--tenant', 'lines']);
  expect(result.code).toBe(2);
  const results = result.stdout
    .trimEnd()
    .split('\n')
    .map((text) => JSON.parse(text));
  expect(results).toMatchObject([
    { line: 1, duplicate: false },
    { line: 2, error: { code: 'INVALID_INPUT' } },
    { line: 3, duplicate: false },
  ]);
  expect(result.stderr).toContain('3 lines: 2 accepted (0 of them duplicates), 1 refused.');

  const { id } = results[0];
  await stack.use((client) => client.wait(id));
  expect(JSON.parse((await stack.cli(['result', id, '--json'])).stdout)).toHaveProperty('summary');
  const listed = JSON.parse((await stack.cli(['list', '--tenant', 'lines', '--json'])).stdout);
  expect(listed.map(({ key }: { key: string }) => key).sort()).toEqual(['a', 'b']);
  const csv = await stack.cli(['receipts', '--tenant', 'lines', '--csv']);
  expect(csv.stdout).toMatch(/^id,chainId,chain,tenant,step,/);
  expect(csv.stdout).toContain(`,${id},analyzeDocument,lines,analyze,1,1,call,false,succeeded,`);
});

test('every change comes once, by its cursor, over kills of PostgreSQL and of the watcher', async () => {
  const names = ['w1', 'w2', 'w3'];
  const submit = (name: string) =>
    stack.cli(['submit', 'analyzeDocument', '--lines', '-', '--tenant', 'watched'], line(name));
  const completed = (watcher: Watcher, key: string) => () =>
    watcher.changes.some((change) => change.key === key && change.state === 'completed');

  const first = new Watcher('--tenant', 'watched', '--since', '1h');
  await submit('w1');
  await first.until('the first chain is seen', completed(first, 'w1'));
  const { postgres } = (await stack.ready()).processes;
  process.kill(postgres as number, 'SIGKILL');
  await first.until('the watcher has noticed', () => first.notes.includes('Waiting for it'));
  await stack.untilReady(({ processes }) => processes.postgres !== postgres);
  await submit('w2');
  await first.until('the second chain is seen', completed(first, 'w2'));
  await first.end('SIGKILL');

  await submit('w3');
  const second = new Watcher('--tenant', 'watched', '--since', first.changes.at(-1)?.cursor as string);
  await second.until('the third chain is seen', completed(second, 'w3'));
  expect(await second.end('SIGINT')).toBe(0);

  const seen = [...first.changes, ...second.changes];
  expect(new Set(seen.map(({ cursor }) => cursor)).size).toBe(seen.length);
  for (const name of names) {
    expect(seen.filter(({ key }) => key === name).map(({ state }) => state)).toEqual([
      'queued',
      'running',
      'completed',
    ]);
  }
});

test('submitting stops and says so when nobody reads the results', async () => {
  const child = spawn(process.execPath, [BIN, 'submit', 'analyzeDocument', '--lines', '-', '--tenant', 'unread'], {
    env: cleanEnvironment(stack.env),
    cwd: tmpdir(),
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  let notes = '';
  child.stderr.on('data', (chunk: Buffer) => {
    notes += chunk;
  });
  // It may have ended before it has read everything.
  child.stdin.on('error', () => {});
  const lines = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => `${line(`unread-${from + index}`)}\n`).join('');
  // The first result comes when there are more lines than are submitted at once.
  child.stdin.write(lines(0, 33));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.stdout.destroy();
  child.stdin.end(lines(33, 40));
  expect(await closed).toBe(1);
  expect(notes).toBe(
    'Nobody reads the results: stopped before the last line. Submit the file again; keys prevent duplicates.\n',
  );
});

test('a result that nobody reads is no defect', async () => {
  const child = spawn(process.execPath, [BIN, '--help'], { cwd: tmpdir(), env: cleanEnvironment(stack.env) });
  child.stdout.destroy();
  let notes = '';
  child.stderr.on('data', (chunk: Buffer) => {
    notes += chunk;
  });
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  expect(notes).toBe('');
});
