import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CommandResult, StackProcess } from '../support/stack-process.js';

let stack: StackProcess;
beforeAll(async () => {
  stack = await StackProcess.start();
  await stack.simulator('PUT', 'latency', { firstTokenMs: 20, msPerOutputToken: 0, msPerInputToken: 0 });
});
afterAll(() => stack?.stop());

const deadLetters = (args: readonly string[], stdin = ''): Promise<CommandResult> =>
  stack.cli(['dead-letters', ...args], stdin);

async function json<Value>(args: readonly string[], stdin = ''): Promise<Value> {
  const result = await deadLetters([...args, '--json'], stdin);
  expect(result).toMatchObject({ code: 0 });
  return JSON.parse(result.stdout) as Value;
}

/** Chains whose second step has been refused. */
async function hold(count: number): Promise<string[]> {
  await stack.simulator('PUT', 'faults', [{ kind: 'refusal', match: { contains: 'Now write a summary' } }]);
  const ids = await stack.use(async (client) => {
    const submitted = await Promise.all(
      Array.from({ length: count }, (_, at) =>
        client.submit({
          chain: 'analyzeDocument',
          input: { document: `Tide table ${at}. The sea rises twice a day.` },
        }),
      ),
    );
    for (const { id } of submitted) expect((await client.wait(id)).state).toBe('held');
    return submitted.map(({ id }) => id);
  });
  await stack.simulator('DELETE', 'faults');
  return ids;
}

describe('dead letters on the command line', () => {
  test('are grouped, looked at, and drained with an edit', async () => {
    const ids = await hold(3);
    const [cluster] = await json<{ cluster: string; count: number }[]>(['clusters']);
    expect(cluster).toMatchObject({ count: 3, step: 'summarize', reason: 'refusal', model: 'claude-sonnet-5-5' });
    const name = cluster?.cluster as string;
    const shown = await deadLetters(['show', ids[0] as string]);
    expect(shown.stdout).toMatch(/refusal at summarize/);
    expect(shown.stdout).toContain('Tide table 0');
    const { temporalUiUrl } = await stack.ready();
    expect(shown.stdout).toContain(`${temporalUiUrl}/namespaces/default/workflows/${ids[0]}/`);
    await json(['annotate', ids[0] as string, '--reason', 'looked at it', '--by', 'ann']);
    expect((await deadLetters(['show', ids[0] as string])).stdout).toContain('ann: looked at it');

    expect(await json(['assign', ids[1] as string, '--to', 'bob'])).toMatchObject({ assignee: 'bob' });
    expect(await json(['list', '--assignee', 'bob'])).toMatchObject({ total: 1 });

    const plan = await json<{ total: number; costMicroUsd: number | null }>([
      'retry-all',
      '--cluster',
      name,
      '--dry-run',
    ]);
    expect(plan).toMatchObject({ total: 3, clusters: [{ cluster: name, count: 3 }] });
    expect(await json(['list', '--cluster', name])).toMatchObject({ total: 3 });
    const retried = await json(
      ['retry-all', '--cluster', name, '--edit', '-', '--why', 'longer answers'],
      '{"maxTokens":3000}',
    );
    expect(retried).toEqual({ total: 3, retried: 3, onTheWay: 0, succeeded: 3, heldAgain: 0, gone: 0, leftAlone: [] });
    await stack.use(async (client) => {
      for (const id of ids) expect((await client.wait(id)).state).toBe('completed');
    });
    expect((await deadLetters(['list'])).stdout).toBe('No dead letters.\n');
  }, 240_000);

  test('are resolved by hand, once, with a result that fits and a reason', async () => {
    const [id] = (await hold(1)) as [string];
    const resolve = (...args: string[]) => deadLetters(['resolve', id, '--result', '-', ...args], '"By hand."');
    expect(await resolve()).toMatchObject({ code: 2, stderr: expect.stringContaining('To resolve needs a reason') });
    expect(await resolve('--reason', 'by phone')).toMatchObject({ code: 0 });
    await stack.use(async (client) => {
      expect(await client.wait(id)).toMatchObject({ state: 'completed', output: { summary: 'By hand.' } });
    });
    expect(await resolve('--reason', 'again')).toMatchObject({ code: 2, stderr: expect.stringContaining('resolve') });
  });

  test('are cancelled with their chain, once and for a reason', async () => {
    const [id] = (await hold(1)) as [string];
    const cancel = (...args: string[]) => deadLetters(['cancel', id, '--by', 'ann', ...args]);
    expect(await cancel()).toMatchObject({ code: 2, stderr: expect.stringContaining('To cancel needs a reason') });
    expect(await cancel('--reason', 'not wanted')).toEqual({
      code: 0,
      stdout: `${id}: cancel summarize-1.\n`,
      stderr: '',
    });
    await stack.use(async (client) => {
      const decision = { hold: 'summarize-1', verdict: 'cancel', by: 'ann', note: 'not wanted' };
      expect(await client.status(id)).toMatchObject({ state: 'cancelled', decisions: [decision] });
    });
    expect(await cancel('--reason', 'again')).toMatchObject({ stderr: expect.stringContaining('decided by ann') });
  });

  test('are retried all over HTTP, told line by line', async () => {
    const ids = await hold(3);
    const { httpUrl } = await stack.ready();
    const response = await fetch(`${httpUrl}/v1/dead-letters/retry-all`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ filter: { reason: 'refusal', since: '1h' }, by: 'ann' }),
    });
    const lines = (await response.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const ended = { onTheWay: 0, heldAgain: 0, gone: 0, leftAlone: [] };
    expect(lines.at(-1)).toEqual({ report: { total: 3, retried: 3, succeeded: 3, ...ended } });
    expect(lines[0]).toMatchObject({ progress: { total: 3 } });
    await stack.use(async (client) => {
      for (const id of ids) expect((await client.wait(id)).state).toBe('completed');
    });
  });

  test.each([
    [['retry-all'], '', 2, /which ones.*--cluster/],
    [['retry-all', '--cluster', 'ffffffffffff'], '', 2, /in cluster ffffffffffff.*clusters/s],
    [['retry-all', '--all', '--edit', '-'], '[]', 2, /An edit is a JSON object/],
    [['retry-all', '--all', '--at-once', '0'], '', 2, /whole number above 0/],
    [['list', '--since', 'soon'], '', 2, /no point in time/],
    [['list', '--limit', '20000'], '', 2, /from 1 to 10000/],
    [['list', '--colour', 'red'], '', 2, /unknown option/],
    [['show', 'nothing'], '', 4, /no chain "nothing"/],
    [['skip', 'nothing', '--reason', 'x'], '', 4, /no chain "nothing"/],
    [['retry', 'nothing', '--edit', '-'], 'null', 2, /An edit is a JSON object/],
  ] as const)('%j is refused with a sentence', async (args, stdin, code, says) => {
    const result = await deadLetters(args, stdin);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(says);
  });
});
