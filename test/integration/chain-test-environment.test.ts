import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { z } from 'zod';
import { defineChain, defineStep } from '../../src/agents/define.js';
import { cacheDirectory } from '../../src/embedded/binaries.js';
import { identifyProcess } from '../../src/embedded/processes.js';
import { startTestPostgres } from '../../src/testing/test-database.js';
import { ChainTestEnvironment, cutOff, failure, hang, refusal, scriptedModel } from '../../src/testing.js';

const chain = <Input>(input: z.ZodType<Input>) => defineChain({ input, steps: ['echo', 'other'] });

const app = {
  chains: {
    inSequence: chain(z.array(z.string())),
    forked: chain(z.array(z.string())),
    withTimer: chain(z.number()),
    withChild: chain(z.number()),
    withApproval: chain(z.number()),
    mistaken: chain(z.object({})),
  },
  steps: {
    echo: defineStep({ model: 'claude-haiku-5-5', prompt: ({ text }: { text: string }) => `Echo: ${text}` }),
    other: defineStep({ model: 'claude-sonnet-5-5', prompt: ({ text }: { text: string }) => `Other: ${text}` }),
  },
  workflowsPath: fileURLToPath(new URL('../support/chains.ts', import.meta.url)),
};

const DAY_MS = 86_400_000;

// Of this file alone: others make environments at the same time.
let temporary: string;
beforeAll(() => {
  temporary = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  chmodSync(temporary, 0o755);
  vi.stubEnv('TMPDIR', temporary);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(temporary, { recursive: true, force: true });
});

describe('a chain in the test environment', () => {
  let environment: ChainTestEnvironment<typeof app>;
  beforeAll(async () => {
    environment = await ChainTestEnvironment.start({ app, databaseUrl: inject('postgresUrl') });
  });
  afterAll(() => environment?.stop());

  test('runs with the answers of the script, and its receipts are plausible', async () => {
    const model = environment.script({ echo: ['one', 'two'] });
    const status = await environment.run('inSequence', ['a', 'b'], { tenant: 'acme' });
    expect(status).toMatchObject({ state: 'completed', tenant: 'acme', output: ['one', 'two'] });
    expect(status.steps).toMatchObject([
      { name: 'echo', attempts: 1, inputTokens: expect.any(Number), costMicroUsd: expect.any(Number) },
      { name: 'echo', attempts: 1 },
    ]);
    expect(status.steps[1]?.inputTokens).toBeGreaterThan(status.steps[0]?.inputTokens ?? 0);
    expect(model.calls.map(({ step, prompt }) => [step, prompt])).toEqual([
      ['echo', 'Echo: a'],
      ['echo', 'Echo: b'],
    ]);
    expect(model.calls[1]?.request.turns.map(({ content }) => content[0])).toMatchObject([
      { text: 'Echo: a' },
      { text: 'one' },
      { text: 'Echo: b' },
    ]);
    model.verify();
  });

  test('does not wait for its timers, nor for those of its children', async () => {
    environment.script({ echo: ({ prompt }) => prompt });
    expect(await environment.run('withTimer', 30 * DAY_MS)).toMatchObject({ output: 'Echo: after' });
    expect(await environment.run('withChild', 30 * DAY_MS)).toMatchObject({ output: 'Echo: after' });
  });

  test('is waited for until the time for which it was submitted', async () => {
    environment.script({ echo: ({ prompt }) => prompt });
    const { id, startsAt } = await environment.client.submit({ chain: 'inSequence', input: ['later'], delay: '30d' });
    expect(await environment.untilIdle(id)).toMatchObject({ state: 'queued', startsAt, steps: [] });
    const status = await environment.wait(id);
    expect(status).toMatchObject({ state: 'completed', startsAt: null, output: ['Echo: later'] });
  });

  test('can be looked at while it waits, and time is skipped by hand', async () => {
    const model = environment.script({ echo: ['before', 'after'] });
    const { id } = await environment.client.submit({ chain: 'withTimer', input: 3 * DAY_MS + 1 });
    expect(await environment.untilIdle(id)).toMatchObject({ state: 'running', steps: [{ name: 'echo' }] });
    await environment.skipTime('2 days');
    expect(await environment.untilIdle(id)).toMatchObject({ state: 'running' });
    expect(model.calls).toHaveLength(1);
    await environment.skipTime('25 hours');
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: 'after' });
  });

  test('is held where it would be, and goes on after a retry', async () => {
    const model = environment.script({ echo: [refusal('Not this.'), 'well then'] });
    const held = await environment.run('inSequence', ['a']);
    expect(held).toMatchObject({ state: 'held', holds: [{ step: 'echo', reason: 'refusal', message: 'Not this.' }] });
    await environment.client.decide(held.id, { verdict: 'retry', by: 'the test' });
    expect(await environment.wait(held.id)).toMatchObject({ state: 'completed', output: ['well then'] });
    model.verify();
  });

  test('waits at its approvals, until somebody decides or their time is skipped', async () => {
    const model = environment.script({ echo: ['a draft', 'done', 'a draft'] });
    const { id, state, holds } = await environment.run('withApproval', 7 * DAY_MS);
    expect([state, holds]).toEqual(['held', [expect.objectContaining({ kind: 'approval' })]]);
    await environment.client.decide(id, { verdict: 'approve', by: 'ann' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: 'done' });
    const late = await environment.run('withApproval', 7 * DAY_MS);
    await environment.skipTime('8 days');
    expect(await environment.wait(late.id)).toMatchObject({ output: 'rejected by deadline' });
    model.verify();
  });

  test('counts as held only when none of its other calls is open any more', async () => {
    let answer = (_: string): void => {};
    const late = new Promise<string>((resolve) => {
      answer = resolve;
    });
    environment.script([
      { prompt: 'base', answers: ['base'] },
      { prompt: 'x', answers: [refusal()] },
      { prompt: 'y', answers: () => late },
    ]);
    const { id } = await environment.client.submit({ chain: 'forked', input: ['x', 'y'] });
    expect(await environment.client.wait(id)).toMatchObject({ state: 'held' });
    await expect(environment.wait(id, { signal: AbortSignal.timeout(300) })).rejects.toThrow('timeout');
    answer('late');
    const { state, steps } = await environment.wait(id);
    expect([state, ...steps.map((step) => step.state).sort()]).toEqual(['held', 'completed', 'completed', 'held']);
    await environment.client.cancel(id);
  });

  test('retries transient failures at once, and is held when they are used up', async () => {
    const model = environment.script([
      { prompt: 'recovers', answers: [failure('overloaded'), failure('server_error'), 'at last'] },
      { prompt: 'cut', answers: [cutOff('half a')] },
      { prompt: 'never', answers: () => failure('overloaded') },
    ]);
    const run = (text: string) => environment.run('inSequence', [text]);
    expect(await run('recovers')).toMatchObject({ output: ['at last'], steps: [{ attempts: 3 }] });
    expect(await run('cut')).toMatchObject({ state: 'held', holds: [{ reason: 'max_tokens' }] });
    expect(await run('never')).toMatchObject({ holds: [{ reason: 'overloaded' }], steps: [{ attempts: 4 }] });
    model.verify();
  });

  test('can be cancelled while a call hangs', async () => {
    const model = environment.script({ other: ['base'], echo: () => hang() });
    const { id } = await environment.client.submit({ chain: 'forked', input: ['x', 'y'] });
    await model.waitForCall({ prompt: 'x' });
    await model.waitForCall({ prompt: 'y' });
    expect(await environment.client.cancel(id)).toMatchObject({ state: 'cancelled' });
    expect(model.calls.map(({ state }) => state)).toEqual(['answered', 'aborted', 'aborted']);
  });

  test('fails its test when it makes a call that the script does not expect', async () => {
    environment.script({ echo: ['one'] });
    await expect(environment.run('inSequence', ['a', 'unexpected'])).rejects.toThrow(
      'no answer for call 2 of step echo (claude-haiku-5-5); its prompt: "Echo: unexpected"',
    );
  });

  test('fails its test when its code throws, instead of being tried again without end', async () => {
    environment.script({});
    await expect(environment.run('mistaken', {})).rejects.toThrow(/The code of mistaken throws.*a mistake/);
  });

  test('keeps time from being skipped while a call is open, which is said', async () => {
    const model = environment.script({ echo: [hang(), 'later'] });
    const { id } = await environment.client.submit({ chain: 'inSequence', input: ['a'] });
    await model.waitForCall();
    await expect(environment.skipTime('1 hour')).rejects.toMatchObject({ code: 'FAILED', message: /in flight/ });
    await environment.client.cancel(id);
    expect(await environment.run('inSequence', ['b'])).toMatchObject({ output: ['later'] });
  });

  test('is waited for no longer than the caller wants', async () => {
    const model = environment.script({ echo: hang() });
    const enough = new AbortController();
    const run = environment.run('inSequence', ['a'], { signal: enough.signal });
    await model.waitForCall();
    enough.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
  });
});

/** Pids of the processes below one, but for the one that looks. */
function children(of = process.pid): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'ppid=,pid=,comm='], { encoding: 'utf8' }).trim().split('\n');
  const processes = rows.map((row) => row.trim().split(/\s+/));
  return processes.filter(([parent, , name]) => Number(parent) === of && name !== 'ps').map(([, pid]) => Number(pid));
}

const isThere = (pid: number): boolean => identifyProcess(pid) !== null;

const directories = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('holdfast-chain-test-'));

const STARTS_ONE = `
  const { ChainTestEnvironment } = await import(${JSON.stringify(new URL('../../src/testing.ts', import.meta.url).href)});
  const { shippedApplication: app } = await import(${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)});
  await ChainTestEnvironment.start({ app });
  console.log('started');
`;

describe('the test environment', () => {
  test('runs on a development server and a PostgreSQL of its own, and leaves nothing behind, also not an open call', async () => {
    const before = children();
    const environment = await ChainTestEnvironment.start({ app, temporal: 'dev' });
    const model = scriptedModel({ echo: ['one', hang()] });
    environment.use(model);
    expect(await environment.run('inSequence', ['a'])).toMatchObject({ state: 'completed', output: ['one'] });
    await expect(environment.skipTime('1 day')).rejects.toMatchObject({ code: 'BAD_USAGE' });
    await environment.client.submit({ chain: 'inSequence', input: ['b'] });
    const open = await model.waitForCall({ prompt: 'b' });
    expect(children().length).toBeGreaterThan(before.length);
    await environment.stop();
    await environment.stop();
    expect(open.state).toBe('aborted');
    expect(children()).toEqual(before);
  });

  test('removes its directory, and its database from the PostgreSQL that it was given', async () => {
    const databases = async (url: string) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database ORDER BY datname');
      await client.end();
      return rows.map(({ datname }) => datname);
    };
    const options = { directory: temporary, log: () => {}, cacheDirectory: cacheDirectory(process.env) };
    const postgres = await startTestPostgres(options);
    const before = await databases(postgres.url);
    const environment = await ChainTestEnvironment.start({ app, databaseUrl: postgres.url });
    expect(directories()).toHaveLength(1);
    const added = (await databases(postgres.url)).filter((name) => !before.includes(name));
    expect(added).toEqual([expect.stringMatching(/^holdfast_test_/)]);
    await environment.stop();
    expect(directories()).toEqual([]);
    expect(await databases(postgres.url)).toEqual(before);
    await postgres.remove();
  });

  test.each([
    ['workflows that do not exist', { app: { ...app, workflowsPath: '/nowhere/chains.ts' } }, 'BAD_CONFIGURATION'],
    [
      'a PostgreSQL that is not there',
      { app, databaseUrl: 'postgres://nobody@127.0.0.1:1/nothing' },
      'STORE_UNREACHABLE',
    ],
  ])('says what is wrong with %s, and leaves nothing behind', async (_, options, code) => {
    const before = children();
    await expect(ChainTestEnvironment.start(options)).rejects.toMatchObject({ code });
    expect(children()).toEqual(before);
    expect(directories()).toEqual([]);
  });

  test('takes its servers with it when the test run is killed', async () => {
    const run = spawn(process.execPath, ['--import', 'tsx', '--eval', STARTS_ONE], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => run.stdout.once('data', resolve));
    const servers = children(run.pid);
    // The watchdog, Temporal and PostgreSQL.
    expect(servers.length).toBeGreaterThanOrEqual(3);
    run.kill('SIGKILL');
    await expect.poll(() => servers.filter(isThere), { timeout: 30_000 }).toEqual([]);
  });
});
