import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli, StackProcess } from '../support/stack-process.js';

let stack: StackProcess;
let files: string;
beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), 'holdfast-saved-'));
  stack = await StackProcess.start();
  await stack.simulator('PUT', 'latency', { firstTokenMs: 20, msPerOutputToken: 0, msPerInputToken: 0 });
});
afterAll(async () => {
  await stack?.stop();
  await rm(files, { recursive: true, force: true });
});

// Each command is a process of its own, and most of them bundle the workflows.
test('a held chain is saved whole and replays by its id, among all, and from a folder where there is no stack', async () => {
  await stack.simulator('PUT', 'faults', [{ kind: 'refusal', match: { contains: 'Now write a summary' } }]);
  // Large enough to stand in history as a reference.
  const document = 'The sea rises twice a day. The moon pulls it. Sailors keep tables. '.repeat(100);
  const submitted = await stack.cli(
    ['submit', 'analyzeDocument', '--input', '-', '--wait', '--json'],
    JSON.stringify({ document }),
  );
  expect(submitted.code).toBe(5);
  const { id } = JSON.parse(submitted.stdout) as { id: string };

  const file = join(files, 'held.json');
  expect(await stack.cli(['history', id, '--save', file])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(id),
  });
  const saved = await readFile(file, 'utf8');
  expect(saved).not.toContain(Buffer.from('binary/holdfast-blob').toString('base64'));
  expect(Buffer.from(/"data": "([^"]{5000,})"/.exec(saved)?.[1] ?? '', 'base64').toString()).toContain('Sailors keep');
  expect(await stack.cli(['history', id, '--save', file])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('exists already'),
  });

  const whole = '1 of 1 replay with the present code.\n';
  expect(await stack.cli(['replay', '--all'])).toMatchObject({ code: 0, stdout: whole });
  expect(await stack.cli(['replay', id])).toMatchObject({ code: 0, stdout: whole });
  expect(await stack.cli(['replay', 'analyzeDocument-none'])).toMatchObject({ code: 4 });
  expect(await stack.cli(['replay'])).toMatchObject({ code: 2 });

  const changed = join(files, 'changed.json');
  await writeFile(changed, saved.replaceAll('holdfastCallModel', 'holdfastCallOther'));
  const differs = await runCli(['replay', files, '--json'], { HOLDFAST_DIR: join(files, 'no-stack') });
  expect(differs).toMatchObject({ code: 1, stderr: '' });
  expect(JSON.parse(differs.stdout)).toMatchObject({
    replayed: 2,
    differing: [
      { name: changed, chain: 'analyzeDocument', difference: { message: expect.stringMatching(/^Event \d+: /) } },
    ],
  });
}, 300_000);
