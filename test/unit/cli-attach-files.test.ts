import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attachFiles } from '../../src/cli/attach-files.js';
import type { HoldfastClient } from '../../src/client/holdfast-client.js';
import { HoldfastError } from '../../src/contracts/errors.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  for (const name of ['a.png', 'b=c.png', 'bad.png']) writeFileSync(join(directory, name), name);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Stands for the one that stores: the reference is made of what it was given. */
const client = {
  attach: async (bytes: Uint8Array, { tenant = 'default' } = {}) => {
    if (bytes.toString() === 'bad.png') throw new HoldfastError('INVALID_INPUT', 'It is damaged.', 'Mend it.');
    return { blob: `${tenant}/${bytes}`, mediaType: 'image/png' };
  },
} as HoldfastClient;

const inDirectory = (name: string): string => join(directory, name);

test('each file stands in its field of the input, for the tenant of the chain', async () => {
  const attach = [`scan=${inDirectory('a.png')}`, `other=${inDirectory('b=c.png')}`];
  expect(await attachFiles(client, { question: 'Why?' }, attach, 'acme')).toEqual({
    question: 'Why?',
    scan: { blob: 'acme/a.png', mediaType: 'image/png' },
    other: { blob: 'acme/b=c.png', mediaType: 'image/png' },
  });
  expect(await attachFiles(client, {}, attach.slice(0, 1), undefined)).toMatchObject({
    scan: { blob: 'default/a.png' },
  });
});

test('an input without attachments stays what it is', async () => {
  expect(await attachFiles(client, [1], [], undefined)).toEqual([1]);
});

test.each<[string, string, unknown, string[]]>([
  ['BAD_USAGE', 'is not of the form field=FILE', {}, ['scan']],
  ['BAD_USAGE', 'is not of the form field=FILE', {}, ['=a.png']],
  ['BAD_USAGE', 'The field scan of the input is given twice', { scan: 1 }, ['scan=a.png']],
  ['BAD_USAGE', 'The field scan of the input is given twice', {}, ['scan=a.png', 'scan=a.png']],
  ['INVALID_INPUT', '--attach needs an input that has fields', [1], ['scan=a.png']],
  ['INVALID_INPUT', 'gone.png cannot be read (ENOENT)', {}, ['scan=gone.png']],
  ['INVALID_INPUT', 'bad.png: It is damaged.', {}, ['scan=bad.png']],
])('%s: %s', async (code, message, input, attach) => {
  const specs = attach.map((spec) => spec.replace(/=(?=.)/, `=${directory}/`));
  const error = await attachFiles(client, input, specs, undefined).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
});
