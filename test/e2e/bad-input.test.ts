import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli, StackProcess } from '../support/stack-process.js';

let stack: StackProcess;
let files: string;

beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), 'holdfast-input-'));
  stack = await StackProcess.start({ HOLDFAST_MAX_INPUT_BYTES: '20000' });
});
afterAll(async () => {
  await stack?.stop();
  await rm(files, { recursive: true, force: true });
});

const good = JSON.stringify({ document: 'Something to read.' });
const submit = ['submit', 'analyzeDocument', '--input', '-'];

describe('bad input is refused with a sentence, its exit code, and nothing written', () => {
  const cases: readonly (readonly [
    what: string,
    args: readonly string[],
    stdin: string,
    code: number,
    says: RegExp,
  ])[] = [
    ['an unknown chain', ['submit', 'nothing', '--input', '-'], good, 2, /no chain "nothing".*analyzeDocument/],
    ['an input that fails its schema', submit, '{"document":7}', 2, /document: .*string/],
    ['an unknown field', submit, '{"document":"a","x":1}', 2, /"x"/],
    ['an empty document', submit, '{"document":" \\n"}', 2, /document: must not be empty/],
    ['a file that is not there', ['submit', 'analyzeDocument', '--input', '/nothing/here'], '', 2, /does not exist/],
    ['JSON that is none', submit, '{"document":', 2, /not JSON/],
    ['an input over the size limit', submit, JSON.stringify({ document: 'a '.repeat(11_000) }), 2, /20000/],
    ['an unknown priority', [...submit, '--priority', 'urgent'], good, 2, /high, normal, low/],
    ['a tenant with control characters', [...submit, '--tenant', 'a\tb'], good, 2, /control characters/],
    ['a tenant over 64 bytes', [...submit, '--tenant', 'ü'.repeat(33)], good, 2, /66 bytes/],
    ['an empty key', [...submit, '--key', ''], good, 2, /key/],
    ['a missing option', ['submit', 'analyzeDocument'], '', 2, /--input/],
    ['an unknown command', ['bogus'], '', 2, /unknown command/],
    ['the status of an unknown chain', ['status', 'nothing', '--json'], '', 4, /no chain "nothing"/],
    ['the retry of an unknown chain', ['retry', 'nothing'], '', 4, /no chain/],
    ['the cancellation of an unknown chain', ['cancel', 'nothing'], '', 4, /no chain/],
  ];

  test.each(cases)('%s', async (_what, args, stdin, code, says) => {
    const result = await stack.cli(args, stdin);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(says);
    expect(result.stderr).not.toMatch(/^ {4}at /m);
    await stack.use(async (_client, store) => {
      expect(await store.db.selectFrom('chain').select('id').execute()).toEqual([]);
    });
  });
});

describe('without its parts a command says what is missing', () => {
  test('when no stack runs', async () => {
    const result = await runCli(['status', 'x'], { HOLDFAST_DIR: join(files, 'empty') });
    expect(result).toMatchObject({ code: 3, stdout: '' });
    expect(result.stderr).toMatch(/No embedded stack runs.*holdfast dev/);
  });

  test('when PostgreSQL cannot be reached, without giving its password away', async () => {
    const env = { DATABASE_URL: 'postgres://ann:s3cret@127.0.0.1:1/chains', TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const results = await Promise.all([
      runCli(submit, env, good),
      runCli(['worker'], { ...env, ANTHROPIC_API_KEY: 'key' }),
    ]);
    for (const result of results) {
      expect(result).toMatchObject({ code: 3, stdout: '' });
      expect(result.stderr).toContain('PostgreSQL at 127.0.0.1:1/chains cannot be reached');
      expect(result.stderr).not.toContain('s3cret');
    }
  });

  test('when a worker has no Temporal', async () => {
    const { databaseUrl } = await stack.ready();
    const env = { DATABASE_URL: databaseUrl as string, TEMPORAL_ADDRESS: '127.0.0.1:1', ANTHROPIC_API_KEY: 'key' };
    const result = await runCli(['worker'], env);
    expect(result).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('Temporal at 127.0.0.1:1 cannot be reached'),
    });
  });

  test('when a worker has no model', async () => {
    const { databaseUrl, temporalAddress } = await stack.ready();
    const env = { DATABASE_URL: databaseUrl as string, TEMPORAL_ADDRESS: temporalAddress as string };
    expect(await runCli(['worker'], env)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ANTHROPIC_API_KEY'),
    });
  });

  test('when its configuration file is broken', async () => {
    const env = { HOLDFAST_REQUESTS_PER_MINUTE: 'many' };
    expect(await runCli(['status', 'x'], env)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('HOLDFAST_REQUESTS_PER_MINUTE'),
    });
  });
});

describe('dev refuses', () => {
  const dev = (env: NodeJS.ProcessEnv) => runCli(['dev'], env);

  test('a directory in which another one runs, naming its process', async () => {
    const result = await dev({ HOLDFAST_DIR: stack.directory });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(String(stack.supervisorPid));
  });

  test('a port in use', async () => {
    const { temporalAddress } = await stack.ready();
    const port = (temporalAddress as string).split(':')[1];
    const result = await dev({ HOLDFAST_DIR: join(files, 'other'), HOLDFAST_TEMPORAL_PORT: port });
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining(`Port ${port}`) });
  });

  test('a state directory that is a file', async () => {
    const file = join(files, 'a-file');
    await writeFile(file, '');
    const result = await dev({ HOLDFAST_DIR: file });
    expect(result.code).toBeGreaterThan(0);
    expect(result.stderr).toContain(file);
    expect(result.stderr).not.toMatch(/^ {4}at /m);
  });
});
