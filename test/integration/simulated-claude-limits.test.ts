import { describe, expect, it } from 'vitest';
import { ask, failure, simulate } from './simulated-claude-harness.js';

describe('rate limits over HTTP', () => {
  it('refuse with 429, retry-after and the name of the limit, and note the call as refused', async () => {
    let now = Date.UTC(2026, 0, 1);
    const { simulator, client } = await simulate({
      limits: { requestsPerMinute: 6, burstSeconds: 10 },
      clock: { now: () => now },
    });
    await client.messages.create(ask('Summarize.'));
    const error = await failure(client.messages.create(ask('Summarize.')));
    expect(error).toMatchObject({ status: 429, type: 'rate_limit_error', errorCode: null });
    expect(error.headers?.get('retry-after')).toBe('10');
    expect(error.message).toContain('6 requests per minute');
    expect(simulator.calls()[1]).toMatchObject({ state: 'refused', status: 429, usage: { input_tokens: 0 } });
    now += 10_000;
    await client.messages.create(ask('Summarize.'));
  });

  it('show in the headers of each response, errors too, unless switched off', async () => {
    const { simulator, client } = await simulate({ limits: { requestsPerMinute: 100 } });
    const { response } = await client.messages.create(ask('Summarize.')).withResponse();
    expect(response.headers.get('anthropic-ratelimit-requests-limit')).toBe('100');
    expect(Number(response.headers.get('anthropic-ratelimit-tokens-remaining'))).toBeGreaterThan(0);
    simulator.setFaults([{ kind: 'overloaded' }]);
    const error = await failure(client.messages.create(ask('Summarize.')));
    expect(error.headers?.get('anthropic-ratelimit-requests-remaining')).toMatch(/^9[89]$/);
    simulator.setFaults([]);
    simulator.setLimits({ headers: false });
    const bare = await client.messages.create(ask('Summarize.')).withResponse();
    expect(bare.response.headers.get('anthropic-ratelimit-requests-limit')).toBeNull();
  });

  it('do not count what is read from the cache, and count output as produced', async () => {
    const { simulator, client } = await simulate();
    const text = {
      type: 'text' as const,
      text: 'harbour of Merrow '.repeat(600),
      cache_control: { type: 'ephemeral' as const },
    };
    const request = ask('', { messages: [{ role: 'user', content: [text] }], max_tokens: 50 });
    const first = await client.messages.create(request);
    const second = await client.messages.create(request);
    expect(second.usage.cache_read_input_tokens).toBeGreaterThan(1_024);
    const { inputTokens, outputTokens } = simulator.buckets().sonnet!;
    expect(inputTokens.charged).toBe(first.usage.cache_creation_input_tokens);
    expect(outputTokens.charged).toBe(first.usage.output_tokens + second.usage.output_tokens);
  });
});

describe('latency', () => {
  it('is spent before the first token and between tokens, without holding up other calls', async () => {
    const { simulator, client } = await simulate({ latency: { firstTokenMs: 600, msPerOutputToken: 20 } });
    const startedMs = performance.now();
    const messages = await Promise.all(
      Array.from({ length: 10 }, () => client.messages.stream(ask('Summarize.', { max_tokens: 20 })).finalMessage()),
    );
    const tookMs = performance.now() - startedMs;
    expect(messages.every((message) => message.usage.output_tokens === 20)).toBe(true);
    expect(tookMs).toBeGreaterThanOrEqual(995);
    const started = simulator.calls().map((call) => Date.parse(call.startedAt));
    const finished = simulator.calls().map((call) => Date.parse(call.finishedAt!));
    expect(Math.max(...started)).toBeLessThanOrEqual(Math.min(...finished));
    const call = simulator.calls()[0]!;
    expect(Date.parse(call.firstByteAt!) - Date.parse(call.startedAt)).toBeGreaterThanOrEqual(595);
  });
});
