import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { defineConfig, loadConfig } from '../../src/config/index.js';
import { directoryWith, refused } from './config-directory.js';

const load = (files: Record<string, string>) => loadConfig({ env: {}, cwd: directoryWith(files) });

describe('a configuration file', () => {
  test.each([
    ['holdfast.config.ts', 'const workers: number = 4; export default { workers };'],
    ['holdfast.config.mts', 'export default { workers: 4 as number };'],
    ['holdfast.config.js', 'export default { workers: 4 };'],
    ['holdfast.config.mjs', 'export default { workers: 4 };'],
    ['holdfast.config.js', 'module.exports = { workers: 4 };'],
  ])('may be %s: %s', async (name, text) => {
    expect((await load({ [name]: text })).workers).toBe(4);
  });

  test('may be TypeScript in a package of either kind', async () => {
    const text = 'export default { workers: 4 } satisfies object;';
    for (const type of ['module', 'commonjs']) {
      const config = await load({ 'package.json': JSON.stringify({ type }), 'holdfast.config.ts': text });
      expect(config.workers).toBe(4);
    }
  });

  test('may import its neighbours', async () => {
    const config = await load({
      'package.json': '{"type": "module"}',
      'holdfast.config.ts': "import { workers } from './settings.js'; export default { workers };",
      'settings.ts': 'export const workers: number = 4;',
    });
    expect(config.workers).toBe(4);
  });

  test('may state everything', async () => {
    const price = { input: 1, output: 2, cacheWrite5m: 1.25, cacheWrite1h: 2, cacheRead: 0.1 };
    const settings = defineConfig({
      directory: 'state',
      temporal: { address: 'h:7233', namespace: 'n', tls: true, apiKey: 'k', metadata: { a: 'b' } },
      database: { url: 'postgresql://h/db' },
      model: { baseUrl: 'https://gateway.example', apiKey: 'sk-1' },
      ports: { temporal: 1, ui: 2, postgres: 3, model: 4 },
      quota: { requestsPerMinute: 1, inputTokensPerMinute: 2, burstSeconds: 0.5, countCacheReads: true },
      quotas: { g: { outputTokensPerMinute: 3 } },
      quotaGroups: { m: 'g' },
      lanes: { heavy: { retries: 0 } },
      prices: { m: price },
      contextWindows: { m: { contextTokens: 10, maxOutputTokens: 5 } },
      idleTimeoutMs: 1,
      callTimeoutMs: 2,
      heartbeatTimeoutMs: 300,
      maxInputBytes: 4,
      workers: 5,
    });
    const files = { 'holdfast.config.mjs': `export default ${JSON.stringify(settings)};` };
    const cwd = directoryWith(files);
    expect(await loadConfig({ env: {}, cwd })).toMatchObject({
      ...settings,
      directory: join(cwd, 'state'),
      temporal: {
        kind: 'external',
        address: 'h:7233',
        namespace: 'n',
        connection: { tls: true, apiKey: 'k', metadata: { a: 'b' } },
      },
      database: { kind: 'external', url: 'postgresql://h/db' },
      model: { kind: 'anthropic', baseUrl: 'https://gateway.example', apiKey: 'sk-1' },
      lanes: { heavy: { retries: 0, initialDelayMs: 10_000 } },
    });
  });

  test('may register an application, whose paths start at the file and whose definitions stay as they are', async () => {
    const cwd = directoryWith({
      'holdfast.config.mjs': `
        const prompt = () => 'Hi';
        export default { app: {
          chains: { c: {} }, steps: { s: { model: 'm', prompt } }, approvals: { a: {} }, scopes: { x: { kind: 'entity' } },
          workflowsPath: './src/workflows.ts',
        } };`,
    });
    const { app } = await loadConfig({ env: {}, cwd });
    expect(app?.workflowsPath).toBe(join(cwd, 'src/workflows.ts'));
    expect(app?.steps.s?.prompt(undefined)).toBe('Hi');
    expect(Object.keys(app?.chains ?? {})).toEqual(['c']);
    expect(app?.scopes).toEqual({ x: { kind: 'entity' } });
  });
});

describe('a bad configuration file', () => {
  test.each([
    ['a wrong value', '{ quota: { requestsPerMinute: -1 } }', 'quota.requestsPerMinute is -1: expected at least 1.'],
    ['a wrong type', '{ workers: "two" }', 'workers is "two": expected a number.'],
    ['an unknown field', '{ worker: 1 }', 'unrecognized key: "worker".'],
    ['an unknown field within', '{ lanes: { fast: { retry: 1 } } }', 'lanes.fast: unrecognized key: "retry".'],
    ['an unknown lane', '{ lanes: { slow: {} } }', 'unrecognized key: "slow".'],
    ['a price that lacks a kind', '{ prices: { m: { input: 1 } } }', 'prices.m.output: expected a number.'],
    [
      'an address with a protocol',
      '{ temporal: { address: "http://h:7233" } }',
      'temporal.address is "http://h:7233": expected host:port',
    ],
    ['a group that is no name', '{ quotaGroups: { m: "a b" } }', 'quotaGroups.m is "a b": expected letters'],
    ['a bad key', '{ model: { apiKey: "sk secret" } }', 'model.apiKey: expected printable ASCII'],
    ['no object', '7', 'expected object'],
  ])('is refused for %s', async (_, text, message) => {
    const { message: said, remedy } = await refused(load({ 'holdfast.config.mjs': `export default ${text};` }));
    expect(said).toContain('holdfast.config.mjs');
    expect(said).toContain(message);
    expect(said).not.toContain('secret');
    expect(remedy).toContain('holdfast.config.mjs');
  });

  test('is refused when it throws', async () => {
    const error = await refused(load({ 'holdfast.config.ts': "throw new Error('not today');" }));
    expect(error.message).toContain('holdfast.config.ts cannot be loaded: not today');
  });

  test('is refused when it is not TypeScript', async () => {
    const error = await refused(load({ 'holdfast.config.ts': 'export default {{' }));
    expect(error.message).toContain('holdfast.config.ts cannot be loaded');
  });

  test('is refused when it exports nothing', async () => {
    const error = await refused(load({ 'holdfast.config.mjs': 'export const workers = 1;' }));
    expect(error.message).toContain('has no default export');
  });

  test('is refused when there are two', async () => {
    const text = 'export default {};';
    const error = await refused(load({ 'holdfast.config.ts': text, 'holdfast.config.js': text }));
    expect(error.message).toContain('holdfast.config.ts and holdfast.config.js');
  });
});
