import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { InstalledPackage, type Project } from '../support/installed-package.js';
import { cleanEnvironment, until } from '../support/stack-process.js';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

const filesOf = (folder: string): Record<string, string> =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]));

// Each compiles or starts something from nothing.
vi.setConfig({ testTimeout: 180_000 });

let installed: InstalledPackage;
beforeAll(async () => {
  installed = await InstalledPackage.pack();
});
afterAll(() => installed?.remove());

const TSCONFIG = JSON.stringify({
  compilerOptions: { target: 'es2022', module: 'nodenext', strict: true, noEmit: true, types: ['node'] },
});

describe('the example of an own chain, in a project that has the package installed', () => {
  let project: Project;
  beforeAll(async () => {
    project = await installed.project('own-chain', {
      ...filesOf(join(EXAMPLES, 'own-chain')),
      'tsconfig.json': TSCONFIG,
    });
  });

  test('has types that fit, and so has the package', async () => {
    const errors = await project.node('node_modules/typescript/bin/tsc').catch(({ message }: Error) => message);
    // Temporal's own types miss some of `ms`; users have to set skipLibCheck for them.
    expect(errors.split('\n').filter((line) => /: error TS/.test(line) && !/@temporalio/.test(line))).toEqual([]);
    expect(errors).toMatch(/^$|@temporalio/);
  });

  test('passes its own test', async () => {
    expect(await project.node('--import', 'tsx', '--test', 'chain.test.ts')).toContain('# pass 1\n# fail 0');
  });

  test('runs in `holdfast dev`, submitted from the command line', async () => {
    const holdfast = 'node_modules/holdfast/bin/holdfast.mjs';
    const options = { cwd: project.directory, env: cleanEnvironment({}) };
    const dev = spawn(process.execPath, [holdfast, 'dev', '--ready-file', 'ready.json'], {
      ...options,
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => dev.once('exit', resolve));
    try {
      const ready = join(project.directory, 'ready.json');
      await until(
        'the stack is ready',
        async () => existsSync(ready) || (dev.exitCode !== null && Promise.reject(dev.exitCode)),
      );
      writeFileSync(join(project.directory, 'in.json'), JSON.stringify({ text: 'The bridge was closed. It is old.' }));
      const output = await project.node(holdfast, 'submit', 'translateText', '--input', 'in.json', '--wait');
      expect(JSON.parse(output)).toEqual({
        translation: '[simulated] The bridge was closed. It is old.',
        doubts: [expect.any(String), expect.any(String)],
      });
    } finally {
      dev.kill('SIGTERM');
      await ended;
    }
  });
});

describe('in plain JavaScript', () => {
  const STEPS = `
    import { defineStep } from 'holdfast';
    export const steps = { greet: defineStep({ model: 'claude-haiku-5-5', prompt: ({ name }) => 'Greet ' + name }) };
  `;
  const WORKFLOWS = `
    import { proxySteps } from 'holdfast/workflow';
    import { sleep } from '@temporalio/workflow';
    const { greet } = proxySteps();
    export async function greetLater({ name }) {
      await sleep('3 days');
      return (await greet({ name })).output;
    }
  `;
  const PROGRAM = `
    import assert from 'node:assert/strict';
    import { fileURLToPath } from 'node:url';
    import { defineChain } from 'holdfast';
    import { ChainTestEnvironment, failure, modelPortConformance, refusal, scriptedModel } from 'holdfast/testing';
    import { ModelCallError, startWorker } from 'holdfast/worker';
    import { z } from 'zod';
    import { steps } from './steps.js';

    assert.equal(typeof startWorker, 'function');
    assert.ok(failure('overloaded') instanceof ModelCallError);
    const app = {
      chains: { greetLater: defineChain({ input: z.object({ name: z.string() }), steps: ['greet'] }) },
      steps,
      workflowsPath: fileURLToPath(new URL('./workflows.js', import.meta.url)),
    };
    const environment = await ChainTestEnvironment.start({ app });
    try {
      environment.script({ greet: ['Hello, Ann.'] });
      const { state, output } = await environment.run('greetLater', { name: 'Ann' });
      assert.deepEqual([state, output], ['completed', 'Hello, Ann.']);
    } finally {
      await environment.stop();
    }
    const arrange = () => ({ model: scriptedModel(() => refusal()) });
    const checks = modelPortConformance({ modelId: 'x', arrange });
    await checks.find(({ name }) => name.startsWith('gives a refusal')).run();
    console.log('it works');
  `;

  test('a chain runs in the test environment, which lets the program end by itself', async () => {
    const files = { 'steps.js': STEPS, 'workflows.js': WORKFLOWS, 'program.js': PROGRAM };
    const project = await installed.project('plain', files);
    expect(await project.node('program.js')).toBe('it works\n');
  });
});
