import { expect, test } from 'vitest';
import { type LineResult, type SubmitLinesOptions, submitLines } from '../../src/client/submit-lines.js';
import { HoldfastError } from '../../src/contracts/errors.js';
import type { Submission } from '../../src/intake/validate.js';

async function* chunks(...parts: (string | Buffer)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part as string);
}

/** Submits lines to nobody; gives the results, and what would have been submitted. */
async function run(
  source: AsyncIterable<Uint8Array>,
  submit: (submission: Submission) => Promise<void> = async () => {},
  { maxInputBytes = 1_000, ...defaults }: SubmitLinesOptions & { readonly maxInputBytes?: number } = {},
): Promise<{ results: LineResult[]; submitted: Submission[] }> {
  const submitted: Submission[] = [];
  const results: LineResult[] = [];
  const lines = submitLines('c', source, {
    tenant: 'default tenant',
    ...defaults,
    maxInputBytes,
    submit: async (submission) => {
      submitted.push(submission);
      await submit(submission);
      return { id: `c-${JSON.stringify(submission.input)}`, duplicate: false, state: 'running' };
    },
  });
  for await (const result of lines) results.push(result);
  return { results, submitted };
}

const codes = (results: readonly LineResult[]) =>
  results.map((result) => [result.line, 'error' in result ? result.error.code : result.id]);

test('lines are cut wherever the chunks end, with a byte order mark, CRLF, blank lines and no newline at the end', async () => {
  const { results } = await run(chunks('\uFEFF{"inp', 'ut":1}\r', '\n\n  \n{"input":2}\n{"input"', ':3}'));
  expect(codes(results)).toEqual([
    [1, 'c-1'],
    [4, 'c-2'],
    [5, 'c-3'],
  ]);
});

test('a line names its tenant, priority and key; the tenant of the command is for those that do not', async () => {
  const { submitted } = await run(chunks('{"input":1}\n{"input":2,"tenant":"t","priority":"low","key":"k"}'));
  expect(submitted).toEqual([
    { chain: 'c', input: 1, tenant: 'default tenant' },
    { chain: 'c', input: 2, tenant: 't', priority: 'low', key: 'k' },
  ]);
});

test('a line names when it starts; the time of the command is for those that name neither time nor delay', async () => {
  const source = chunks('{"input":1}\n{"input":2,"delay":"1h"}\n{"input":3,"at":"2999-01-01T00:00:00Z"}');
  const { submitted } = await run(source, undefined, { at: '2998-01-01T00:00:00Z' });
  expect(submitted.map(({ at, delay }) => [at, delay])).toEqual([
    ['2998-01-01T00:00:00Z', undefined],
    [undefined, '1h'],
    ['2999-01-01T00:00:00Z', undefined],
  ]);
});

test('lines that are broken are told by number, and stop no other', async () => {
  const latin1 = Buffer.from('{"input":"\xe9"}\n', 'latin1');
  const bad = '{"input":\n[]\n{}\n{"input":1,"x":1}\n{"input":1,"tenant":7}\n';
  const { results, submitted } = await run(chunks('{"input":"first"}\n', bad, latin1, '{"input":"last"}'));
  expect(codes(results)).toEqual([
    [1, 'c-"first"'],
    ...[2, 3, 4, 5, 6, 7].map((line) => [line, 'INVALID_INPUT']),
    [8, 'c-"last"'],
  ]);
  expect(results[3]).toMatchObject({ error: { message: 'The line does not fit: input: is missing.' } });
  expect(results[4]).toMatchObject({ error: { message: expect.stringContaining('"x"'), remedy: expect.any(String) } });
  expect(submitted.map(({ input }) => input)).toEqual(['first', 'last']);
});

test('a line over the limit is refused and not kept, however long it is', async () => {
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield* chunks('{"input":"first"}\n');
    for (let count = 0; count < 1_000; count += 1) yield Buffer.alloc(10_000, 'x');
    yield* chunks('\n{"input":"last"}');
  }
  expect(codes((await run(endless())).results)).toEqual([
    [1, 'c-"first"'],
    [2, 'INPUT_TOO_LARGE'],
    [3, 'c-"last"'],
  ]);
});

test('results keep the order of the lines while many are submitted at once, and no more are read than that', async () => {
  let read = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    for (; read < 1_000; read += 1) yield Buffer.from(`{"input":${read}}\n`);
  }
  let open = 0;
  let most = 0;
  let release = (): void => {};
  const first = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { results } = await run(source(), async ({ input }) => {
    open += 1;
    most = Math.max(most, open);
    if (input === 31) release();
    // The first line is the last to be ready.
    if (input === 0) await first;
    open -= 1;
  });
  expect(results.map(({ line }) => line)).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
  expect(most).toBeLessThanOrEqual(32);
});

test('what the client refuses is told as it says it; a defect ends everything', async () => {
  const refuse = async ({ input }: Submission): Promise<void> => {
    if (input === 2) throw new HoldfastError('KEY_CONFLICT', 'taken', 'another');
  };
  const { results } = await run(chunks('{"input":1}\n{"input":2}\n{"input":3}\n'), refuse);
  expect(results[1]).toEqual({ line: 2, error: { code: 'KEY_CONFLICT', message: 'taken', remedy: 'another' } });
  const defect = run(chunks('{"input":1}'), () => Promise.reject(new TypeError('a defect')));
  await expect(defect).rejects.toThrow('a defect');
});

test('a store that is away for a moment is waited for', async () => {
  let tries = 0;
  const { results } = await run(chunks('{"input":1}'), async () => {
    tries += 1;
    if (tries < 3) throw new HoldfastError('STORE_UNREACHABLE', 'away', 'start it');
  });
  expect(codes(results)).toEqual([[1, 'c-1']]);
  expect(tries).toBe(3);
});
