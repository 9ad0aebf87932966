import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { InstalledPackage, type Project } from '../support/installed-package.js';
import { pdf, png } from '../support/media.js';
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

const HOLDFAST = 'node_modules/holdfast/bin/holdfast.mjs';

/** Runs something while `holdfast dev` serves a project. */
async function inDevelopment(project: Project, run: () => Promise<void>): Promise<void> {
  const dev = spawn(process.execPath, [HOLDFAST, 'dev', '--ready-file', 'ready.json'], {
    cwd: project.directory,
    env: cleanEnvironment({}),
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => dev.once('exit', resolve));
  try {
    const ready = join(project.directory, 'ready.json');
    await until(
      'the stack is ready',
      async () => existsSync(ready) || (dev.exitCode !== null && Promise.reject(dev.exitCode)),
    );
    await run();
  } finally {
    dev.kill('SIGTERM');
    await ended;
  }
}

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
    await inDevelopment(project, async () => {
      writeFileSync(join(project.directory, 'in.json'), JSON.stringify({ text: 'The bridge was closed. It is old.' }));
      const output = await project.node(HOLDFAST, 'submit', 'translateText', '--input', 'in.json', '--wait');
      expect(JSON.parse(output)).toEqual({
        translation: '[simulated] The bridge was closed. It is old.',
        doubts: [expect.any(String), expect.any(String)],
      });
    });
  });
});

test('the example of an attachment runs in `holdfast dev`, submitted from the command line', async () => {
  const project = await installed.project('attachment', {
    ...filesOf(join(EXAMPLES, 'attachment')),
    'tsconfig.json': TSCONFIG,
    'scan.png': png(280, 280),
    'notes.txt': 'These are notes.',
    'q.json': JSON.stringify({ question: 'The harbour is new.' }),
  });
  const errors = await project.node('node_modules/typescript/bin/tsc').catch(({ message }: Error) => message);
  expect(errors.split('\n').filter((line) => /: error TS/.test(line) && !/@temporalio/.test(line))).toEqual([]);
  await inDevelopment(project, async () => {
    const submit = (...attach: string[]) =>
      project.node(HOLDFAST, 'submit', 'askAboutScan', '--input', 'q.json', ...attach, '--wait');
    expect(await submit('--attach', 'scan=scan.png')).toBe('[simulated] The harbour is new.\n');
    await expect(submit('--attach', 'scan=notes.txt')).rejects.toThrow('notes.txt: The attachment is no image');
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
    const project = await installed.project('plain', files, { typescript: false });
    expect(await project.node('program.js')).toBe('it works\n');
  });

  const CONFIG = `
    import { attachmentSchema, defineChain, defineConfig, defineStep } from 'holdfast';
    import { z } from 'zod';
    const input = z.object({ files: z.array(attachmentSchema), question: z.string() });
    const steps = {
      answer: defineStep({ model: 'claude-haiku-5-5', prompt: ({ files, question }) => [...files, question] }),
      check: defineStep({
        model: 'claude-haiku-5-5',
        output: z.object({ doubts: z.array(z.string()).length(2) }),
        prompt: () => 'Now name two doubts.',
      }),
    };
    const chains = { ask: defineChain({ input, steps: ['answer', 'check'] }) };
    export default defineConfig({ app: { chains, steps, workflowsPath: './chains.js' } });
  `;
  const CHAINS = `
    import { proxySteps } from 'holdfast/workflow';
    const { answer, check } = proxySteps();
    export async function ask(input) {
      const answered = await answer(input);
      const { output } = await check({}, { continues: answered });
      return { answer: answered.output, doubts: output.doubts };
    }
  `;
  const ASK = `
    import { readFile } from 'node:fs/promises';
    import { connectHoldfast } from 'holdfast';
    const { client, close } = await connectHoldfast();
    const files = [await client.attach(await readFile('scan.png')), await client.attach(await readFile('terms.pdf'))];
    const chain = await client.start('ask', { input: { files, question: 'The harbour is new.' } });
    console.log(JSON.stringify(await chain.result()));
    const { state, steps } = await chain.status();
    console.log(JSON.stringify([state, ...steps.map(({ name, attempts }) => name + ' ' + attempts)]));
    await close();
  `;

  test('an own chain runs in `holdfast dev`, with a configuration file, through the client', async () => {
    const media = { 'scan.png': png(28, 28), 'terms.pdf': pdf(2) };
    const files = { 'holdfast.config.js': CONFIG, 'chains.js': CHAINS, 'ask.js': ASK, ...media };
    const project = await installed.project('plain-own-chain', files, { typescript: false });
    expect(existsSync(join(project.directory, 'node_modules/typescript'))).toBe(false);
    await inDevelopment(project, async () => {
      const [output, status] = (await project.node('ask.js'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(output).toEqual({
        answer: '[simulated] The harbour is new.',
        doubts: [expect.any(String), expect.any(String)],
      });
      expect(status).toEqual(['completed', 'answer 1', 'check 1']);
    });
  });
});
