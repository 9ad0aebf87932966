import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { z } from 'zod';
import { attachmentSchema } from '../../src/agents/attachment-schema.js';
import { defineChain, defineStep } from '../../src/agents/define.js';
import type { Attachment } from '../../src/contracts/attachments.js';
import { createAnthropicModel } from '../../src/models/anthropic-model.js';
import { ChainTestEnvironment, type SimulatedClaude, startSimulatedClaude } from '../../src/testing.js';
import { pdf, png } from '../support/media.js';

const model = 'claude-haiku-5-5';
const app = {
  chains: { aboutFiles: defineChain({ input: z.array(attachmentSchema), steps: ['look', 'echo'] }) },
  steps: {
    look: defineStep({
      model,
      prompt: ({ files }: { files: readonly Attachment[] }) => [...files, 'What is to be seen?'],
    }),
    echo: defineStep({ model, prompt: ({ text }: { text: string }) => text }),
  },
  workflowsPath: fileURLToPath(new URL('../support/chains.ts', import.meta.url)),
};

let environment: ChainTestEnvironment<typeof app>;
let claude: SimulatedClaude;
beforeAll(async () => {
  [environment, claude] = await Promise.all([
    ChainTestEnvironment.start({ app, databaseUrl: inject('postgresUrl') }),
    startSimulatedClaude({ latency: { firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 } }),
  ]);
  environment.use(createAnthropicModel({ apiKey: 'test', baseUrl: claude.url }));
});
afterAll(async () => {
  await environment?.stop();
  await claude?.stop();
});

/** Bytes of a workflow's history, as JSON. */
async function historyBytes(id: string): Promise<number> {
  // biome-ignore lint/complexity/useLiteralKeys: it is private
  const history = await environment['temporal'].use((client) => client.workflow.getHandle(id).fetchHistory());
  return JSON.stringify(history).length;
}

test('a chain sends megabytes of images and documents, and its history does not grow by them', async () => {
  const small = [await environment.client.attach(png(280, 280)), await environment.client.attach(pdf(2))];
  const large = [
    await environment.client.attach(png(280, 280, 5_000_000)),
    await environment.client.attach(pdf(2, { padding: 10_000_000 })),
  ];
  const [first, second] = [await environment.run('aboutFiles', small), await environment.run('aboutFiles', large)];
  expect([first, second]).toMatchObject([{ state: 'completed' }, { state: 'completed' }]);
  expect(first.steps[0]?.inputTokens ?? 0).toBeLessThan(200);
  expect(first.steps[0]?.cacheWriteTokens).toBeGreaterThan(6_100);
  expect(first.steps[1]?.cacheReadTokens).toBe(first.steps[0]?.cacheWriteTokens);
  const bytes = [await historyBytes(first.id), await historyBytes(second.id)] as const;
  // On a busy machine a local activity adds a workflow task now and then: some hundred bytes.
  expect(bytes[1]).toBeLessThan(60_000);
  expect(Math.abs(bytes[1] - bytes[0])).toBeLessThan(10_000);
});

test('a chain whose attachment is missing is held, and goes on once it is there', async () => {
  const bytes = png(11, 11);
  const reference = { blob: createHash('sha256').update(bytes).digest('hex'), mediaType: 'image/png' } as const;
  await environment.client.attach(bytes, { tenant: 'other' });
  const held = await environment.run('aboutFiles', [reference], { tenant: 'acme' });
  expect(held).toMatchObject({ state: 'held', holds: [{ reason: 'malformed_payload', step: 'look' }] });
  expect(held.holds[0]?.message).toContain(`has no attachment ${reference.blob}. Attach the file for this tenant`);
  expect(await environment.client.attach(bytes, { tenant: 'acme' })).toEqual(reference);
  await environment.client.decide(held.id, { verdict: 'retry', by: 'ann' });
  expect(await environment.wait(held.id)).toMatchObject({ state: 'completed' });
});

test('what is no attachment is refused before anything is stored or started', async () => {
  const { client } = environment;
  await expect(client.attach(Buffer.from('text'))).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  await expect(client.attach(png(2, 2, 8_000_000))).rejects.toMatchObject({ code: 'INPUT_TOO_LARGE' });
  await expect(client.attach(png(2, 2), { tenant: '' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  const input = [{ blob: 'scan.png', mediaType: 'image/png' }];
  await expect(client.submit({ chain: 'aboutFiles', input })).rejects.toMatchObject({
    code: 'INVALID_INPUT',
    message: expect.stringContaining('0.blob: is no address of an attachment'),
  });
});
