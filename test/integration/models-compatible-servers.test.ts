import { LLMock } from '@copilotkit/aimock';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ModelCallError, type ModelRequest } from '../../src/contracts/models.js';
import { SIMULATED_MODELS, startSimulatedClaude } from '../../src/embedded/simulated-claude/index.js';
import { createAnthropicModel } from '../../src/models/anthropic-model.js';
import { parseOutput, schemaForModel } from '../../src/models/parse-output.js';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const options = () => ({ signal: new AbortController().signal, timeoutMs: 20_000 });

function request(text: string, more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    model: 'claude-sonnet-5-5',
    maxTokens: 1_000,
    turns: [{ role: 'user', content: [{ type: 'text', text }] }],
    cache: '5m',
    ...more,
  };
}

describe('the simulated Claude', () => {
  const DOCUMENT = Array.from(
    { length: 120 },
    (_, year) => `In ${1900 + year} the harbour master wrote down ${year * 7} ships, and repaired the quay once more.`,
  ).join('\n');
  const points = z.object({ points: z.array(z.string()) });

  async function simulated({ contextTokens = 100_000, apiKey = 'sk-simulated' } = {}) {
    const simulator = await startSimulatedClaude({
      latency: { firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 },
      models: SIMULATED_MODELS.map((model) => ({ ...model, contextTokens })),
    });
    stops.push(() => simulator.stop());
    return createAnthropicModel({ apiKey, baseUrl: simulator.url });
  }

  test('answers by the schema, and a continued conversation reads from the cache what the first call wrote', async () => {
    const model = await simulated();
    const first = request(`Name five key points of this document.\n<document>\n${DOCUMENT}\n</document>`, {
      system: 'You analyse documents.',
      outputSchema: schemaForModel(points),
    });
    const answer = await model.call(first, options());
    expect((await parseOutput(points, answer.text)).ok).toBe(true);
    expect(answer.requestId).toMatch(/^req_/);
    expect(answer.usage.cacheWrite5mTokens).toBeGreaterThan(1_000);

    const turns: ModelRequest['turns'] = [
      ...first.turns,
      { role: 'assistant', content: [{ type: 'text', text: answer.text }] },
      { role: 'user', content: [{ type: 'text', text: 'Shorter, please.' }] },
    ];
    const again = await model.call({ ...first, turns }, options());
    expect(again.usage.cacheReadTokens).toBe(answer.usage.cacheWrite5mTokens);
  });

  test('counts the tokens that it then charges', async () => {
    const model = await simulated();
    const asked = request('How many ships?', { cache: 'off' });
    const counted = await model.countTokens(asked, options());
    expect((await model.call(asked, options())).usage.inputTokens).toBe(counted);
  });

  test.each<[string, { contextTokens?: number; apiKey?: string }, Partial<ModelRequest>, string]>([
    ['a prompt over the context', { contextTokens: 2_000 }, {}, 'context_too_large'],
    ['an unknown model', {}, { model: 'claude-none' }, 'not_found'],
    ['a wrong key', { apiKey: 'invalid-key' }, {}, 'authentication'],
  ])('refuses %s as the provider would', async (_, settings, more, reason) => {
    const model = await simulated(settings);
    const thrown = await model.call(request('word '.repeat(2_000), more), options()).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(ModelCallError);
    expect((thrown as ModelCallError).reason).toBe(reason);
  });
});

describe('aimock, a server that we did not write', () => {
  test('works as base URL', async () => {
    const mock = new LLMock({ port: 0, logLevel: 'silent' });
    mock.onMessage('weather', { content: 'Sunny, with a light wind.', usage: { input_tokens: 12, output_tokens: 6 } });
    await mock.start();
    stops.push(() => mock.stop().then(() => undefined));
    const model = createAnthropicModel({ apiKey: 'sk-mock', baseUrl: mock.url });

    const answer = await model.call(request('What is the weather?', { system: 'Be brief.' }), options());
    expect(answer).toMatchObject({
      text: 'Sunny, with a light wind.',
      stopReason: 'end_turn',
      usage: { inputTokens: 12, outputTokens: 6 },
    });
    const refused = await model.call(request('Something that nobody scripted'), options()).catch((error) => error);
    expect(refused).toBeInstanceOf(ModelCallError);
    expect(await model.countTokens(request('Hi'), options())).toBeNull();
    expect(mock.getRequests().filter(({ path }) => path === '/v1/messages')).toHaveLength(2);
  });
});
