import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  describeConfig,
  type LoadConfigOptions,
  loadConfig,
  quotaGroupOf,
  quotaOf,
  stackEnvironment,
} from '../../src/config/index.js';
import { DEFAULT_LANE_POLICIES } from '../../src/contracts/lanes.js';
import { DEFAULT_QUOTA } from '../../src/contracts/quotas.js';
import { directoryWith, refused } from './config-directory.js';

/** Loads in an empty directory and environment, so that the machine of the test plays no part. */
function load(env: LoadConfigOptions['env'] = {}, more: Omit<LoadConfigOptions, 'env'> = {}) {
  return loadConfig({ env, cwd: directoryWith(), ...more });
}

test('everything has a default, and every part is embedded', async () => {
  const cwd = directoryWith();
  expect(await loadConfig({ env: {}, cwd })).toEqual({
    directory: join(cwd, '.holdfast'),
    temporal: { kind: 'embedded', namespace: 'default' },
    database: { kind: 'embedded' },
    model: { kind: 'simulated' },
    accounts: {},
    ports: {},
    http: { host: '127.0.0.1', uiOrigins: [] },
    quota: {
      requestsPerMinute: 1_000,
      inputTokensPerMinute: 450_000,
      outputTokensPerMinute: 90_000,
      burstSeconds: 5,
      lowShare: 0,
      countCacheReads: false,
    },
    quotas: {},
    quotaGroups: {
      'claude-sonnet-5-5': 'claude-sonnet-5-5',
      'claude-haiku-5-5': 'claude-haiku-5-5',
      'claude-opus-5-5': 'claude-opus-5-5',
    },
    lanes: DEFAULT_LANE_POLICIES,
    prices: {},
    contextWindows: {},
    idleTimeoutMs: 60_000,
    callTimeoutMs: 600_000,
    heartbeatTimeoutMs: 3_000,
    maxInputBytes: 10_485_760,
    workers: 1,
    notify: { deadlineMs: 86_400_000 },
    log: {},
    tracing: 'off',
  });
});

describe('traces', () => {
  test.each([
    [{}, 'off'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, 'http/protobuf'],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }, 'http/protobuf'],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }, 'http/json'],
    [{ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, 'off'],
    [{ OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'otlp' }, 'off'],
  ])('with %j are %s', async (env, tracing) => {
    expect(await load(env)).toMatchObject({ tracing });
  });

  test.each([
    [{ OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER'],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'OTEL_EXPORTER_OTLP_PROTOCOL'],
  ])('with %j are refused by the name of the variable', async (env, name) => {
    await expect(load(env)).rejects.toMatchObject({
      code: 'BAD_CONFIGURATION',
      message: expect.stringContaining(name),
    });
  });
});

test('a deployment has a name and a build id, or there is none', async () => {
  const env = { TEMPORAL_DEPLOYMENT_NAME: 'claims', TEMPORAL_WORKER_BUILD_ID: 'v1.2' };
  expect((await load(env)).deployment).toEqual({ name: 'claims', buildId: 'v1.2' });
  await expect(load({ ...env, TEMPORAL_WORKER_BUILD_ID: '' })).rejects.toMatchObject({
    message: 'The deployment has a name and no build id.',
  });
  await expect(load({ ...env, TEMPORAL_DEPLOYMENT_NAME: 'a.b' })).rejects.toMatchObject({
    message: expect.stringContaining('TEMPORAL_DEPLOYMENT_NAME'),
  });
});

describe('precedence', () => {
  const file = { 'holdfast.config.mjs': 'export default { workers: 2, idleTimeoutMs: 2, maxInputBytes: 2 };' };

  test('flags stand over the environment, that over the file, that over defaults', async () => {
    const env = { HOLDFAST_WORKERS: '3', HOLDFAST_IDLE_TIMEOUT_MS: '3' };
    const config = await load(env, { cwd: directoryWith(file), flags: { workers: '4' } });
    expect(config).toMatchObject({ workers: 4, idleTimeoutMs: 3, maxInputBytes: 2, callTimeoutMs: 600_000 });
  });

  test('goes field by field within a group', async () => {
    const cwd = directoryWith({
      'holdfast.config.mjs':
        'export default { quota: { requestsPerMinute: 7 }, lanes: { fast: { retries: 1, concurrency: 9 } } };',
    });
    const config = await load({ HOLDFAST_OUTPUT_TOKENS_PER_MINUTE: '8', HOLDFAST_FAST_RETRIES: '5' }, { cwd });
    expect(config.quota).toMatchObject({
      requestsPerMinute: 7,
      inputTokensPerMinute: 450_000,
      outputTokensPerMinute: 8,
    });
    expect(config.lanes.fast).toEqual({ retries: 5, initialDelayMs: 1_000, concurrency: 9 });
    expect(config.lanes.heavy).toEqual(DEFAULT_LANE_POLICIES.heavy);
  });

  test('a flag that was not given and a variable that is empty count as not set', async () => {
    const config = await load({ HOLDFAST_WORKERS: '', HOLDFAST_DIR: ' ' }, { flags: { workers: undefined } });
    expect(config.workers).toBe(1);
  });
});

describe('variables', () => {
  test.each([
    ['HOLDFAST_TEMPORAL_PORT', '7000', { ports: { temporal: 7000 } }],
    ['HOLDFAST_TEMPORAL_UI_PORT', '7001', { ports: { ui: 7001 } }],
    ['HOLDFAST_POSTGRES_PORT', '7002', { ports: { postgres: 7002 } }],
    ['HOLDFAST_MODEL_PORT', '7003', { ports: { model: 7003 } }],
    ['HOLDFAST_HTTP_PORT', '0', { ports: { http: 0 } }],
    ['HOLDFAST_HTTP_HOST', '0.0.0.0', { http: { host: '0.0.0.0', uiOrigins: [] } }],
    ['HOLDFAST_HTTP_TOKEN', 'sixteen-letters!', { http: { token: 'sixteen-letters!' } }],
    ['HOLDFAST_UI_ORIGINS', 'http://a:1, https://b', { http: { uiOrigins: ['http://a:1', 'https://b'] } }],
    ['HOLDFAST_REQUESTS_PER_MINUTE', '5', { quota: { requestsPerMinute: 5 } }],
    ['HOLDFAST_INPUT_TOKENS_PER_MINUTE', '5', { quota: { inputTokensPerMinute: 5 } }],
    ['HOLDFAST_OUTPUT_TOKENS_PER_MINUTE', '5', { quota: { outputTokensPerMinute: 5 } }],
    ['HOLDFAST_FAST_RETRIES', '0', { lanes: { fast: { retries: 0 } } }],
    ['HOLDFAST_FAST_INITIAL_DELAY_MS', '5', { lanes: { fast: { initialDelayMs: 5 } } }],
    ['HOLDFAST_FAST_CONCURRENCY', '5', { lanes: { fast: { concurrency: 5 } } }],
    ['HOLDFAST_HEAVY_RETRIES', '5', { lanes: { heavy: { retries: 5 } } }],
    ['HOLDFAST_HEAVY_INITIAL_DELAY_MS', '5', { lanes: { heavy: { initialDelayMs: 5 } } }],
    ['HOLDFAST_HEAVY_CONCURRENCY', '5', { lanes: { heavy: { concurrency: 5 } } }],
    ['HOLDFAST_IDLE_TIMEOUT_MS', '5', { idleTimeoutMs: 5 }],
    ['HOLDFAST_CALL_TIMEOUT_MS', '5', { callTimeoutMs: 5 }],
    ['HOLDFAST_HEARTBEAT_TIMEOUT_MS', '500', { heartbeatTimeoutMs: 500 }],
    ['HOLDFAST_MAX_INPUT_BYTES', '5', { maxInputBytes: 5 }],
    ['HOLDFAST_WORKERS', '5', { workers: 5 }],
    ['HOLDFAST_DIR', '/some/where', { directory: '/some/where' }],
    ['DATABASE_URL', 'postgres://u:p@h/db', { database: { kind: 'external', url: 'postgres://u:p@h/db' } }],
    ['TEMPORAL_NAMESPACE', 'mine', { temporal: { kind: 'embedded', namespace: 'mine' } }],
  ])('%s=%s', async (name, value, expected) => {
    expect(await load({ [name]: value })).toMatchObject(expected);
  });

  test('a relative state directory starts at the working directory', async () => {
    const cwd = directoryWith();
    expect((await load({ HOLDFAST_DIR: 'state' }, { cwd })).directory).toBe(join(cwd, 'state'));
    expect((await load({ HOLDFAST_DIR: 'state' }, { cwd, flags: { directory: 'other' } })).directory).toBe(
      join(cwd, 'other'),
    );
  });

  test.each([
    ['HOLDFAST_WORKERS', 'many', 'HOLDFAST_WORKERS is "many": expected a number.'],
    ['HOLDFAST_WORKERS', '1.5', 'HOLDFAST_WORKERS is "1.5": expected a whole number.'],
    ['HOLDFAST_WORKERS', '-1', 'HOLDFAST_WORKERS is "-1": expected at least 0.'],
    ['HOLDFAST_FAST_CONCURRENCY', '0', 'HOLDFAST_FAST_CONCURRENCY is "0": expected at least 1.'],
    ['HOLDFAST_CALL_TIMEOUT_MS', '99999999999', 'expected at most 2147483647.'],
    ['HOLDFAST_MODEL_PORT', '70000', 'HOLDFAST_MODEL_PORT is "70000": expected at most 65535.'],
    ['HOLDFAST_INPUT_TOKENS_PER_MINUTE', '0x10', 'expected a number.'],
    ['HOLDFAST_HTTP_HOST', 'http://h', 'HOLDFAST_HTTP_HOST is "http://h": expected an address or a host name.'],
    ['HOLDFAST_HTTP_TOKEN', 'short-secret', 'HOLDFAST_HTTP_TOKEN: expected at least 16 characters.'],
    ['HOLDFAST_UI_ORIGINS', 'http://a:1/', 'HOLDFAST_UI_ORIGINS is "http://a:1/": expected origins like'],
    ['HOLDFAST_UI_ORIGINS', 'a:1', 'HOLDFAST_UI_ORIGINS is "a:1": expected origins like'],
    ['ANTHROPIC_BASE_URL', 'api.example.com', 'ANTHROPIC_BASE_URL is "api.example.com": expected a URL like https://'],
    ['DATABASE_URL', 'mysql://u:secret@h/db', 'DATABASE_URL: expected a URL like postgresql://'],
    ['ANTHROPIC_API_KEY', 'sk secret', 'ANTHROPIC_API_KEY: expected printable ASCII'],
    ['ANTHROPIC_BASE_URL', 'htp://me:secret@h', 'ANTHROPIC_BASE_URL is "htp://***@h": expected'],
  ])('%s=%s is refused by name, without secrets', async (name, value, message) => {
    const error = await refused(load({ [name]: value }));
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('secret');
    expect(error.remedy).toContain(name);
    expect(error.exitCode).toBe(2);
  });

  test('a bad flag is refused by its name', async () => {
    const error = await refused(load({}, { flags: { workers: 'many' } }));
    expect(error.message).toBe('--workers is "many": expected a number.');
  });
});

describe('the model', () => {
  test.each([
    ['a key alone is Claude', { ANTHROPIC_API_KEY: 'sk-1' }, { kind: 'anthropic', apiKey: 'sk-1' }],
    ['white space around a key is dropped', { ANTHROPIC_API_KEY: ' sk-1\n' }, { kind: 'anthropic', apiKey: 'sk-1' }],
    [
      'a key and a URL is that server',
      { ANTHROPIC_API_KEY: 'sk-1', ANTHROPIC_BASE_URL: 'https://gateway.example' },
      { kind: 'anthropic', apiKey: 'sk-1', baseUrl: 'https://gateway.example' },
    ],
    ['neither is the simulated one', {}, { kind: 'simulated' }],
  ])('%s', async (_, env, model) => {
    expect((await load(env)).model).toEqual(model);
  });

  test.each(['http://127.0.0.1:8787', 'http://localhost:8787', 'http://[::1]:8787'])(
    '%s needs no key',
    async (baseUrl) => {
      expect((await load({ ANTHROPIC_BASE_URL: baseUrl })).model).toMatchObject({
        kind: 'anthropic',
        baseUrl,
        apiKey: expect.any(String),
      });
    },
  );

  test.each(['https://api.anthropic.com', 'http://127.0.0.1.example.com', 'http://localhost.example'])(
    '%s needs one',
    async (baseUrl) => {
      const error = await refused(load({ ANTHROPIC_BASE_URL: baseUrl }));
      expect(error.message).toContain(new URL(baseUrl).host);
      expect(error.remedy).toContain('ANTHROPIC_API_KEY');
    },
  );

  test('a flag chooses the server', async () => {
    const config = await load(
      { ANTHROPIC_BASE_URL: 'https://a.example', ANTHROPIC_API_KEY: 'sk-1' },
      { flags: { modelUrl: 'https://b.example' } },
    );
    expect(config.model).toMatchObject({ baseUrl: 'https://b.example' });
  });

  test('has the plain quota unless it is simulated', async () => {
    expect((await load({ ANTHROPIC_API_KEY: 'sk-1' })).quota).toEqual(DEFAULT_QUOTA);
  });
});

test('a model is in its own quota group or a configured one, and one that is in none is refused', async () => {
  const cwd = directoryWith({
    'holdfast.config.mjs': "export default { quotaGroups: { mine: 'shared', 'claude-opus-5-5': 'shared' } };",
  });
  const config = await load({}, { cwd });
  const groups = ['claude-sonnet-5-5', 'claude-opus-5-5', 'mine'].map((model) => quotaGroupOf(config, model));
  expect(groups).toEqual(['claude-sonnet-5-5', 'shared', 'shared']);
  expect(() => quotaGroupOf(config, 'other')).toThrow('The model other is in no quota group');
  expect(() => quotaGroupOf(config, 'constructor')).toThrow('in no quota group');
});

test('a quota group has the limits that are said of it, and the others of all groups', async () => {
  const cwd = directoryWith({
    'holdfast.config.mjs': 'export default { quotas: { shared: { burstSeconds: 2, requestsPerMinute: 3 } } };',
  });
  const config = await load({ HOLDFAST_REQUESTS_PER_MINUTE: '9' }, { cwd });
  expect(quotaOf(config, 'shared')).toEqual({ ...config.quota, burstSeconds: 2, requestsPerMinute: 3 });
  expect(quotaOf(config, 'constructor')).toEqual({ ...config.quota, requestsPerMinute: 9 });
});

describe('notices', () => {
  const mail = {
    HOLDFAST_NOTIFY_SMTP_URL: 'smtps://me:mail-secret@mail.example',
    HOLDFAST_NOTIFY_FROM: 'holdfast@example.com',
    HOLDFAST_NOTIFY_TO: 'ops@example.com, night@example.com',
  };

  test('are set by the environment over the file', async () => {
    const cwd = directoryWith({
      'holdfast.config.mjs':
        "export default { notify: { webhook: { url: 'http://in.file' }, mail: { escalateTo: 'boss@example.com' }, deadlineMs: 5 } };",
    });
    expect((await load({ ...mail, HOLDFAST_NOTIFY_WEBHOOK_URL: 'http://in.environment' }, { cwd })).notify).toEqual({
      webhook: { url: 'http://in.environment' },
      mail: {
        smtpUrl: mail.HOLDFAST_NOTIFY_SMTP_URL,
        from: 'holdfast@example.com',
        to: 'ops@example.com, night@example.com',
        escalateTo: 'boss@example.com',
      },
      deadlineMs: 5,
    });
  });

  test.each([
    [{ HOLDFAST_NOTIFY_WEBHOOK_URL: 'ftp://x' }, 'expected a URL like https://example.com/holdfast'],
    [{ HOLDFAST_NOTIFY_WEBHOOK_URL: 'https://me:hook-secret@x' }, 'expected a URL without user and password'],
    [{ HOLDFAST_NOTIFY_WEBHOOK_SECRET: 'hook-secret' }, 'HOLDFAST_NOTIFY_WEBHOOK_SECRET: expected at least 16'],
    [{ HOLDFAST_NOTIFY_WEBHOOK_SECRET: 'hook-secret-in-full' }, 'There is a secret for a webhook, and no webhook'],
    [{ ...mail, HOLDFAST_NOTIFY_SMTP_URL: 'mail-secret' }, 'HOLDFAST_NOTIFY_SMTP_URL: expected a URL like smtps://'],
    [{ ...mail, HOLDFAST_NOTIFY_SMTP_URL: 'smtp:host' }, 'expected a URL with a host'],
    [{ ...mail, HOLDFAST_NOTIFY_FROM: 'Holdfast' }, 'expected an address like ops@example.com'],
    [{ ...mail, HOLDFAST_NOTIFY_TO: 'a@b.example, you' }, 'expected addresses like ops@example.com'],
    [{ ...mail, HOLDFAST_NOTIFY_TO: '' }, 'Mail needs a server, a sender and a receiver'],
    [{ HOLDFAST_NOTIFY_ESCALATE_TO: 'a@b.example' }, 'Mail needs a server, a sender and a receiver'],
    [{ HOLDFAST_NOTIFY_DEADLINE_MS: '0' }, 'expected at least 1'],
    [{ HOLDFAST_NOTIFY_DEADLINE_MS: 'a day' }, 'expected a number'],
  ])('%j is refused', async (env, message) => {
    const error = await refused(load(env));
    expect(error.message).toContain(message);
    expect(error.message).not.toMatch(/(hook|mail)-secret/);
  });
});

describe('describeConfig', () => {
  test('shows no secret', async () => {
    const cwd = directoryWith({
      'holdfast.config.mjs':
        "export default { temporal: { address: 'h:7233', apiKey: 'secret-1', metadata: { auth: 'secret-2' }, tls: { serverNameOverride: 'secret-3' } } };",
    });
    const env = {
      DATABASE_URL: 'postgresql://me:secret-4@host/db?sslpassword=secret-5',
      ANTHROPIC_API_KEY: 'secret-6',
      HOLDFAST_HTTP_TOKEN: 'secret-8-in-full',
      ANTHROPIC_BASE_URL: 'https://me:secret-7@gateway.example',
      HOLDFAST_NOTIFY_WEBHOOK_URL: 'https://hooks.example/services/secret-9',
      HOLDFAST_NOTIFY_WEBHOOK_SECRET: 'secret-10-in-full',
      HOLDFAST_NOTIFY_SMTP_URL: 'smtps://me:secret-11@mail.example',
      HOLDFAST_NOTIFY_FROM: 'holdfast@example.com',
      HOLDFAST_NOTIFY_TO: 'ops@example.com',
    };
    const text = JSON.stringify(describeConfig(await load(env, { cwd })));
    expect(text).not.toMatch(/secret-\d/);
    expect(text).toContain('postgresql://me:***@host/db');
    expect(text).toContain('h:7233');
    expect(text).toContain('gateway.example');
    expect(text).toContain('https://hooks.example/***');
    expect(text).toContain('smtps://me:***@mail.example');
  });

  test('shows all the rest', async () => {
    const config = await load();
    expect(describeConfig(config)).toEqual(config);
  });
});

describe('stackEnvironment', () => {
  const env = {
    PATH: '/bin',
    TEMPORAL_API_KEY: 'k',
    TEMPORAL_TLS: '1',
    TEMPORAL_PROFILE: 'p',
    TEMPORAL_NAMESPACE: 'n',
  };

  test('keeps logins of other servers from the embedded Temporal', async () => {
    expect(stackEnvironment(await load(), env)).toEqual({ PATH: '/bin', TEMPORAL_NAMESPACE: 'n' });
  });

  test('keeps them for an external one', async () => {
    expect(stackEnvironment(await load({ TEMPORAL_ADDRESS: 'h:7233' }), env)).toEqual(env);
  });
});
