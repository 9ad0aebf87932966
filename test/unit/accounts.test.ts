import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defineStep } from '../../src/agents/define.js';
import { describeConfig, loadConfig, quotaOf } from '../../src/config/index.js';
import { checkBrought } from '../../src/contracts/check-decision.js';
import type { ModelCallOptions } from '../../src/contracts/models.js';
import { workerSettings } from '../../src/workers/worker-settings.js';
import { type ProviderStub, startProviderStub } from '../integration/models-provider-stub.js';
import { directoryWith, refused } from './config-directory.js';

const KEY = 'sk-backup-secret';

const load = (model: object, env: Record<string, string> = {}, more = {}) =>
  loadConfig({
    env,
    cwd: directoryWith({ 'holdfast.config.mjs': `export default ${JSON.stringify({ model, ...more })};` }),
  });

const targets = { temporal: { address: null, namespace: 'default' }, databaseUrl: 'postgres://nowhere/none' };
const app = { chains: {}, steps: {}, workflowsPath: '' };
const settingsOf = (config: Awaited<ReturnType<typeof load>>) => workerSettings(config, targets, app, () => {});

describe('accounts', () => {
  let main: ProviderStub;
  let other: ProviderStub;
  beforeEach(async () => {
    [main, other] = await Promise.all([startProviderStub(), startProviderStub()]);
  });
  afterEach(() => Promise.all([main.close(), other.close()]));

  test('are called with their own key, at their own address or that of the main one', async () => {
    const accounts = { backup: { apiKeyEnv: 'BACKUP' }, gateway: { apiKeyEnv: 'BACKUP', baseUrl: other.url } };
    const config = await load({ baseUrl: main.url, apiKey: 'sk-main', accounts }, { BACKUP: KEY });
    const { model } = settingsOf(config);
    const turns = [{ role: 'user', content: [{ type: 'text', text: 'Hello?' }] }] as const;
    const request = { model: 'claude-haiku-5-5', maxTokens: 10, turns, cache: 'off' } as const;
    const options: ModelCallOptions = { signal: new AbortController().signal, timeoutMs: 10_000 };
    await model.call(request, options);
    await model.call({ ...request, account: 'backup' }, options);
    await model.call({ ...request, account: 'gateway' }, options);
    await expect(model.call({ ...request, account: 'nowhere' }, options)).rejects.toThrow('no account nowhere');
    const keys = ({ requests }: ProviderStub) =>
      requests.map(({ headers }) => headers.authorization ?? headers['x-api-key']);
    expect(keys(main)).toEqual([expect.stringContaining('sk-main'), expect.stringContaining(KEY)]);
    expect(keys(other)).toEqual([expect.stringContaining(KEY)]);
    expect(JSON.stringify(main.requests.map(({ body }) => body))).not.toContain('backup');
  });
});

test('the key of an account is asked for when a worker starts, by the name of its variable', async () => {
  const config = await load({ apiKey: 'sk-main', accounts: { backup: { apiKeyEnv: 'BACKUP' } } }, { BACKUP: ' ' });
  expect(() => settingsOf(config)).toThrow('The account backup has no key: BACKUP is not set.');
});

test('a key is shown neither with the configuration nor when it is wrong', async () => {
  const accounts = { backup: { apiKeyEnv: 'BACKUP' } };
  const config = await load({ accounts }, { BACKUP: KEY });
  const described = JSON.stringify(describeConfig(config));
  expect(described).toContain('"backup":{"apiKeyEnv":"BACKUP","apiKey":"***"}');
  expect(described).not.toContain(KEY);
  const { message } = await refused(load({ accounts }, { BACKUP: 'sk with spaces' }));
  expect(message).toMatch(/^BACKUP: expected printable/);
  expect((await refused(load({ accounts: { backup: { apiKeyEnv: 'sk-pasted' } } }))).message).not.toContain('pasted');
});

test.each([
  [{ backup: {} }, /model.accounts.backup names no variable/],
  [{ backup: { baseUrl: 'https://a.example' } }, /names no variable/],
  [{ backup: { apiKey: 'sk-1' } }, /apiKey/],
  [{ 'back up': { apiKeyEnv: 'B' } }, /accounts/],
])('%j is refused', async (accounts, says) => {
  const { message } = await refused(load({ accounts }));
  expect(message).toMatch(says);
  expect(message).not.toContain('sk-1');
});

test('a server on this machine needs no key', async () => {
  const config = await load({ baseUrl: 'http://127.0.0.1:1', accounts: { local: { baseUrl: 'http://127.0.0.1:2' } } });
  expect(() => settingsOf(config)).not.toThrow();
});

test('an account has the limits of the main one, unless it is given others', async () => {
  const quotas = { sonnet: { requestsPerMinute: 7, burstSeconds: 3 }, 'sonnet@backup': { requestsPerMinute: 9 } };
  const config = await load({}, {}, { quotas });
  const limits = (group: string) => {
    const { requestsPerMinute, burstSeconds } = quotaOf(config, group);
    return [requestsPerMinute, burstSeconds];
  };
  expect([limits('sonnet'), limits('sonnet@backup'), limits('sonnet@other')]).toEqual([
    [7, 3],
    [9, 3],
    [7, 3],
  ]);
  const { routing } = settingsOf(
    await load({ apiKey: 'k', accounts: { a: { apiKeyEnv: 'A' } } }, { A: 'k' }, { quotas }),
  );
  expect(routing.accounts).toEqual(['a']);
  expect(routing.hasLowShare('sonnet@a')).toBe(false);
});

test('an edit names an account that there is, where that is known', async () => {
  const steps = { s: defineStep({ model: 'claude-haiku-5-5', prompt: () => 'x' }) };
  const hold = { kind: 'failure', step: 's' } as const;
  const check = (account: unknown, accounts?: readonly string[]) =>
    checkBrought({ steps, ...(accounts && { accounts }) }, hold, { verdict: 'retry', by: 'a', edit: { account } });
  expect(await check('backup', ['backup'])).toMatchObject({ ok: true });
  expect(await check(null, [])).toMatchObject({ ok: true });
  expect(await check('anything')).toMatchObject({ ok: true });
  expect(await check('x', ['a', 'b'])).toMatchObject({ error: expect.stringContaining('no account "x", only a, b') });
  expect(await check('x', [])).toMatchObject({ error: expect.stringContaining('only the main one') });
  expect(await check(7, [])).toMatchObject({ error: expect.stringContaining('account is to be the name') });
});
