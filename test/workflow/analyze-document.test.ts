import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { shippedApplication } from '../../src/agents/shipped.js';
import { ChainTestEnvironment, cutOff } from '../../src/testing.js';

let environment: ChainTestEnvironment;
beforeAll(async () => {
  environment = await ChainTestEnvironment.start({ app: shippedApplication, databaseUrl: inject('postgresUrl') });
});
afterAll(() => environment?.stop());

const keyPoints = ['one', 'two', 'three', 'four', 'five'];
const document = 'The harbour of Merrow was rebuilt in 1961.';

describe('analyzeDocument', () => {
  test('gives five points, and a summary that goes on from the same conversation', async () => {
    const model = environment.script({ analyze: [{ keyPoints }], summarize: ['A summary.'] });
    const { state, output, steps } = await environment.run('analyzeDocument', { document, title: 'Merrow' });
    expect([state, output]).toEqual(['completed', { analysis: { keyPoints }, summary: 'A summary.' }]);
    expect(steps.map(({ name, attempts }) => [name, attempts])).toEqual([
      ['analyze', 1],
      ['summarize', 1],
    ]);
    const [analyze, summarize] = model.calls;
    expect(analyze?.prompt).toContain(`<document title="Merrow">\n${document}\n</document>`);
    // The same prefix and nothing but a turn more, or the provider's prompt cache would miss.
    expect(summarize?.request.turns.slice(0, 2)).toEqual([
      ...(analyze?.request.turns ?? []),
      { role: 'assistant', content: [{ type: 'text', text: JSON.stringify({ keyPoints }) }] },
    ]);
    expect(summarize?.request).toMatchObject({ model: analyze?.model, system: analyze?.request.system });
    model.verify();
  });

  test('shows the model an answer with four points once, and takes the next one', async () => {
    const four = { keyPoints: keyPoints.slice(1) };
    const model = environment.script({ analyze: [four, { keyPoints }], summarize: ['A summary.'] });
    expect(await environment.run('analyzeDocument', { document })).toMatchObject({ state: 'completed' });
    expect(model.calls[1]).toMatchObject({ step: 'analyze', prompt: expect.stringContaining('keyPoints') });
    model.verify();
  });

  test('pays for no analysis again when its summary was held', async () => {
    const model = environment.script({ analyze: [{ keyPoints }], summarize: [cutOff('A summ'), 'A summary.'] });
    const { id, holds } = await environment.run('analyzeDocument', { document });
    expect(holds).toMatchObject([{ step: 'summarize', reason: 'max_tokens' }]);
    await environment.client.decide(id, { verdict: 'retry', by: 'a test' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: { summary: 'A summary.' } });
    model.verify();
  });
});
