import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { identifyProcess } from '../../src/embedded/processes.js';
import type { StackReady } from '../../src/embedded/stack.js';
import { runCli, StackProcess, until } from '../support/stack-process.js';

let stack: StackProcess;

beforeAll(async () => {
  stack = await StackProcess.start({ HOLDFAST_WORKERS: '2' });
});
afterAll(() => stack?.stop());

const pidsOf = ({ processes }: StackReady): number[] =>
  Object.values(processes)
    .flat()
    .filter((pid) => pid !== null);

const document =
  'Lighthouses stand on rocks. Their lamps turn at night. Ships see them from afar. Keepers lived in them.';
const submit = ['submit', 'analyzeDocument', '--input', '-', '--wait', '--json'];

describe('workers whose API key is refused', () => {
  test('hold the chain as authentication, and workers with a good key go on with it', async () => {
    const { modelUrl } = await stack.ready();
    // The simulator refuses keys that begin so.
    const other = await StackProcess.start({
      ANTHROPIC_BASE_URL: modelUrl as string,
      ANTHROPIC_API_KEY: 'invalid-key',
    });
    try {
      expect((await other.ready()).processes.model).toBeNull();
      const held = await other.cli(submit, JSON.stringify({ document }));
      expect(held.code).toBe(5);
      expect(held.stderr).not.toContain('invalid-key');
      const { id } = JSON.parse(held.stdout) as { id: string };
      await other.use(async (client) => {
        expect((await client.status(id)).holds).toMatchObject([{ reason: 'authentication' }]);
      });
      await other.restart('SIGTERM', { ANTHROPIC_API_KEY: 'good-key' });
      await other.use(async (client) => {
        await client.decide(id, { verdict: 'retry', by: 'a test' });
        expect((await client.wait(id)).state).toBe('completed');
      });
    } finally {
      await other.stop();
    }
  });
});

describe('dev', () => {
  test('tells in its ready file where everything is', async () => {
    const ready = await stack.ready();
    expect(Object.keys(ready).sort()).toEqual(
      ['databaseUrl', 'httpUrl', 'modelUrl', 'processes', 'temporalAddress', 'temporalUiUrl'].sort(),
    );
    expect(ready.processes.worker).toHaveLength(2);
    expect(pidsOf(ready).every((pid) => identifyProcess(pid) !== null)).toBe(true);
    expect((await fetch(ready.temporalUiUrl as string)).status).toBe(200);
    expect((await fetch(`${ready.httpUrl}/healthz`)).status).toBe(200);
  });

  test('serves commands that are given the addresses of its parts instead of its directory', async () => {
    const { databaseUrl, temporalAddress } = await stack.ready();
    const env = { DATABASE_URL: databaseUrl as string, TEMPORAL_ADDRESS: temporalAddress as string };
    const result = await runCli(submit, env, JSON.stringify({ document }));
    expect(result.code).toBe(0);
  });

  test('ends on SIGTERM with everything it started, and keeps its state for the next time', async () => {
    const before = await stack.ready();
    const { id } = JSON.parse(
      (await stack.cli(submit, JSON.stringify({ document: `${document} Now they are empty.` }))).stdout,
    );
    const pids = pidsOf(before);
    await stack.restart('SIGTERM');
    await until('the old processes are gone', async () => pids.every((pid) => identifyProcess(pid) === null));
    const after = await stack.ready();
    expect({ ...after, processes: null }).toEqual({ ...before, processes: null });
    const status = JSON.parse((await stack.cli(['status', id, '--json'])).stdout);
    expect(status.state).toBe('completed');
  });

  test('ends with 0 and without its ready file', async () => {
    expect(await stack.end('SIGINT')).toBe(0);
    expect(await readdir(stack.directory)).not.toContain('ready.json');
    const result = await stack.cli(['status', 'x']);
    expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('No embedded stack runs') });
  });
});
