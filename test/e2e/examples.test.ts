import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cleanEnvironment, StackProcess } from '../support/stack-process.js';

// The example of an own chain is run by package.test.ts, in a project that has the package installed.

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let stack: StackProcess;
beforeAll(async () => {
  stack = await StackProcess.start();
});
afterAll(() => stack?.stop());

test('an application submits a chain, waits for its result, and gets the same chain for the same key', async () => {
  const submit = async () => {
    const options = { cwd: ROOT, env: cleanEnvironment(stack.env) };
    const args = ['--import', 'tsx', 'examples/submit-from-app.ts'];
    return (await promisify(execFile)(process.execPath, args, options)).stdout.split('\n');
  };
  const [first, ...output] = await submit();
  const id = /^(analyzeDocument-\S+) is submitted$/.exec(first ?? '')?.[1];
  expect(id).toBeDefined();
  expect(output.join('\n')).toMatch(/\[simulated\] .*\[simulated\] .*It cost \d+ millionths of a dollar\./s);
  expect(await submit()).toEqual([`${id} was submitted before`, ...output]);
});

test('the demo of approvals plays an approval with an edit and a rejection', { timeout: 180_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-approval-'));
  try {
    // PostgreSQL does not run as root; whoever it runs as must be able to enter.
    await chmod(directory, 0o755);
    const options = { cwd: ROOT, env: cleanEnvironment({ HOLDFAST_DIR: directory }) };
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', 'examples/approval.ts'],
      options,
    );
    expect(stdout).toMatch(/To reject: holdfast reject .*"decision": "approved",.*"by": "ann".*"edited": true/s);
    expect(stdout).toMatch(/"The board is told by Friday\.".*"decision": "rejected",.*"by": "bob"/s);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
