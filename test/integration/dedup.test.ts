import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { z } from 'zod';
import { defineChain, defineStep } from '../../src/agents/define.js';
import { ChainTestEnvironment, refusal } from '../../src/testing.js';

const model = 'claude-haiku-5-5';
const texts = z.array(z.string());
const app = {
  chains: {
    inSequence: defineChain({ input: texts, steps: ['echo'] }),
    forked: defineChain({ input: texts, steps: ['other', 'echo'], dedup: { reuseForMs: 3_600_000 } }),
    identicalCalls: defineChain({ input: z.number(), steps: ['echo'], dedup: { join: false } }),
    withTimer: defineChain({ input: z.number(), steps: ['echo'], dedup: { reuseForMs: 0.5 } }),
  },
  steps: {
    echo: defineStep({ model, prompt: ({ text }: { text: string }) => text }),
    other: defineStep({ model, prompt: ({ text }: { text: string }) => text }),
  },
  workflowsPath: fileURLToPath(new URL('../support/chains.ts', import.meta.url)),
};

let environment: ChainTestEnvironment<typeof app>;
beforeAll(async () => {
  environment = await ChainTestEnvironment.start({ app, databaseUrl: inject('postgresUrl') });
});
afterAll(() => environment?.stop());

const submit = (chain: keyof typeof app.chains, input: unknown, more = {}) =>
  environment.client.submit({ chain, input, tenant: 'acme', ...more } as never);

test('a completed chain answers for identical submissions within its time, without a call', async () => {
  const script = environment.script({ other: ['base'], echo: ['leaf'] });
  const first = await submit('forked', ['one']);
  const done = await environment.wait(first.id);
  expect(done.state).toBe('completed');
  const again = await submit('forked', ['one']);
  expect(again).toMatchObject({ id: first.id, duplicate: true, state: 'completed' });
  expect((await environment.wait(again.id)).output).toEqual(done.output);
  expect(script.calls).toHaveLength(2);
  script.verify();
});

test('it does not answer for other content, another tenant or another key', async () => {
  environment.script({ other: 'base', echo: 'leaf' });
  const first = await submit('forked', ['two']);
  await environment.wait(first.id);
  const others = [
    await submit('forked', ['three']),
    await submit('forked', ['two'], { tenant: 'globex' }),
    await submit('forked', ['two'], { key: 'a key' }),
  ];
  expect(new Set([first.id, ...others.map(({ id }) => id)]).size).toBe(4);
  for (const { id } of others) expect((await environment.wait(id)).state).toBe('completed');
});

test('what was held or cancelled answers for nobody', async () => {
  environment.script({ other: [refusal(), 'base'], echo: ['leaf'] });
  const first = await submit('forked', ['four']);
  expect((await environment.wait(first.id)).state).toBe('held');
  await environment.client.cancel(first.id);
  await environment.wait(first.id);
  const second = await submit('forked', ['four']);
  expect(second.id).not.toBe(first.id);
  expect((await environment.wait(second.id)).state).toBe('completed');
});

test('without joining, identical submissions in flight are chains of their own', async () => {
  environment.script({ echo: 'same' });
  const chains = await Promise.all([submit('identicalCalls', 1), submit('identicalCalls', 1)]);
  expect(new Set(chains.map(({ id }) => id)).size).toBe(2);
  for (const { id, duplicate } of chains) {
    expect(duplicate).toBe(false);
    expect((await environment.wait(id)).state).toBe('completed');
  }
});

test('a time that is none is refused, and says where', async () => {
  await expect(submit('withTimer', 1)).rejects.toMatchObject({
    code: 'BAD_CONFIGURATION',
    message: expect.stringContaining('withTimer reuses results for 0.5 ms'),
  });
});
