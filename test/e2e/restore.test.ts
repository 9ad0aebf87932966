import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Difference } from '../../src/client/reconcile-records.js';
import type { ChainStatus } from '../../src/contracts/status.js';
import { StackProcess } from '../support/stack-process.js';

let counter = 0;
/** A document that no other test has, large enough to travel by reference. */
function newDocument(): string {
  counter += 1;
  return `Restore ${counter} is about tides. ${'The sea rises twice a day. The moon pulls it. '.repeat(150)}`;
}

const REFUSE_SUMMARY = { kind: 'refusal', match: { contains: 'Now write a summary' } };

let stack: StackProcess;
let copies: string;

beforeAll(async () => {
  copies = mkdtempSync(join(tmpdir(), 'holdfast-copies-'));
  stack = await StackProcess.start({ HOLDFAST_FAST_INITIAL_DELAY_MS: '50' });
});
afterAll(async () => {
  await stack?.stop();
  rmSync(copies, { recursive: true, force: true });
});

async function submit(key: string, document = newDocument()): Promise<{ id: string; document: string }> {
  const args = ['submit', 'analyzeDocument', '--input', '-', '--tenant', 'acme', '--key', key, '--json'];
  const { stdout, stderr } = await stack.cli(args, JSON.stringify({ document }));
  expect(stderr).toBe('');
  return { id: (JSON.parse(stdout) as { id: string }).id, document };
}

const ended = (id: string): Promise<ChainStatus> => stack.use((client) => client.wait(id));

/** A chain that is held at its summary. */
async function held(key: string) {
  await stack.simulator('PUT', 'latency', { firstTokenMs: 20, msPerOutputToken: 0, msPerInputToken: 0 });
  await stack.simulator('PUT', 'faults', [REFUSE_SUMMARY]);
  const chain = await submit(key);
  expect((await ended(chain.id)).state).toBe('held');
  await stack.simulator('DELETE', 'faults');
  return chain;
}

const PARTS = {
  /** The embedded PostgreSQL's data, which may lie behind a link. */
  postgres: (directory: string) => [realpathSync(join(directory, 'postgres'))],
  temporal: (directory: string) =>
    readdirSync(directory)
      .filter((name) => /^temporal\.db(-wal|-shm)?$/.test(name))
      .map((name) => join(directory, name)),
};

/** Stops the stack, copies one of its parts, and starts it again. Returns what puts the copy back, with the stack stopped. */
async function copy(part: keyof typeof PARTS): Promise<() => Promise<void>> {
  const aside = mkdtempSync(join(copies, 'copy-'));
  await stack.end('SIGTERM');
  const paths = PARTS[part](stack.directory);
  // cp keeps the owner, which PostgreSQL insists on.
  for (const path of paths) execFileSync('cp', ['-a', path, join(aside, basename(path))]);
  await stack.restart('SIGTERM');
  return async () => {
    await stack.end('SIGTERM');
    for (const path of PARTS[part](stack.directory)) rmSync(path, { recursive: true });
    for (const path of paths) execFileSync('cp', ['-a', join(aside, basename(path)), path]);
  };
}

async function reconcile(...flags: string[]): Promise<{ code: number | null; differences: Difference[] }> {
  const { code, stdout, stderr } = await stack.cli(['doctor', '--reconcile', '--json', ...flags]);
  expect(stderr).toBe('');
  return { code, differences: (JSON.parse(stdout) as { differences: Difference[] }).differences };
}

const kindsOf = (differences: readonly Difference[], { id }: { id: string }): string[] =>
  differences.filter((each) => each.id === id).map(({ kind }) => kind);

const stateOf = async ({ id }: { id: string }): Promise<string> => {
  const { stdout } = await stack.cli(['status', id, '--json']);
  return (JSON.parse(stdout) as ChainStatus).state;
};

describe('after a restore', { timeout: 300_000 }, () => {
  test('of an older PostgreSQL, reconcile tells what is lost, mends what can be mended, and nothing is paid', async () => {
    const retried = await held('pg-retried');
    const putBack = await copy('postgres');
    expect((await stack.cli(['retry', retried.id])).code).toBe(0);
    expect((await ended(retried.id)).state).toBe('completed');
    const completed = await submit('pg-completed');
    expect((await ended(completed.id)).state).toBe('completed');
    const lost = await held('pg-held');
    await putBack();
    // As docs/recovery.md says: workers last.
    await stack.restart('SIGTERM', { HOLDFAST_WORKERS: '0' });

    const { code, differences } = await reconcile();
    expect(code).toBe(1);
    expect(differences.every(({ fixed }) => !fixed)).toBe(true);
    expect(kindsOf(differences, retried)).toEqual(['workflow-ended']);
    expect(kindsOf(differences, completed)).toEqual(['row-missing']);
    expect(kindsOf(differences, lost)).toEqual(['row-missing', 'hold-missing', 'receipt-missing', 'blob-missing']);
    expect((await reconcile()).differences).toEqual(differences);

    const mended = await reconcile('--fix');
    expect(mended.differences.filter(({ fixed }) => !fixed).map(({ kind }) => kind)).toEqual([
      'receipt-missing',
      'blob-missing',
    ]);
    await stack.restart('SIGTERM', { HOLDFAST_WORKERS: '1' });
    expect(await stateOf(retried)).toBe('completed');
    expect(await stateOf(completed)).toBe('completed');
    expect(await stateOf(lost)).toBe('held');
    // The row that was written anew has tenant and key, and the key answers with the first chain.
    const again = ['submit', 'analyzeDocument', '--input', '-', '--tenant', 'acme', '--key', 'pg-completed', '--json'];
    const { stdout } = await stack.cli(again, JSON.stringify({ document: completed.document }));
    expect(JSON.parse(stdout)).toMatchObject({ id: completed.id, duplicate: true, state: 'completed' });
    // It cannot go on, and not be cancelled either: its input is lost.
    const connection = await Connection.connect({ address: (await stack.ready()).temporalAddress });
    await new Client({ connection }).workflow.getHandle(lost.id).terminate('its input is lost');
    await connection.close();
    await expect.poll(async () => (await reconcile()).differences, { timeout: 60_000 }).toEqual([]);
    expect(await stack.calls()).toEqual([]);
  });

  test('of an older Temporal, workers pay for nothing by themselves, and lost workflows go on from their receipts', async () => {
    const retried = await held('temporal-retried');
    const cancelled = await held('temporal-cancelled');
    const putBack = await copy('temporal');
    expect((await stack.cli(['retry', retried.id])).code).toBe(0);
    expect((await ended(retried.id)).state).toBe('completed');
    expect((await stack.cli(['cancel', cancelled.id])).code).toBe(0);
    const lost = await held('temporal-held');
    const completed = await submit('temporal-completed');
    expect((await ended(completed.id)).state).toBe('completed');
    await putBack();
    await stack.restart('SIGTERM');

    const { code, differences } = await reconcile();
    expect(code).toBe(1);
    expect(kindsOf(differences, retried)).toEqual(['workflow-behind']);
    expect(kindsOf(differences, cancelled)).toEqual(['workflow-behind']);
    expect(kindsOf(differences, lost)).toEqual(['workflow-missing']);
    expect(kindsOf(differences, completed)).toEqual([]);
    expect(await stateOf(lost)).toBe('stuck');
    expect(await stack.calls()).toEqual([]);

    const mended = await reconcile('--fix');
    expect(mended).toMatchObject({ code: 0, differences: [{ fixed: true }, { fixed: true }, { fixed: true }] });
    // It comes to its hold again without asking again: the refusal is in its receipts.
    await expect.poll(async () => (await reconcile()).differences, { timeout: 60_000 }).toEqual([]);
    expect(await stateOf(lost)).toBe('held');
    expect(await stack.calls()).toEqual([]);
    expect((await stack.cli(['retry', lost.id])).code).toBe(0);
    expect((await ended(lost.id)).state).toBe('completed');
    expect(await stack.calls()).toHaveLength(1);
  });
});
