import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import type { FaultRule } from '../../src/embedded/simulated-claude/index.js';
import { ask, failure, simulate, textOf } from './simulated-claude-harness.js';

/** What the SDK makes of the fault, streamed. */
async function streamed(fault: FaultRule) {
  const setup = await simulate({ faults: [fault] });
  const error = await failure(setup.client.messages.stream(ask('Summarize.')).finalMessage());
  return { ...setup, error, call: setup.simulator.calls()[0]! };
}

describe('faults before the answer', () => {
  const statuses: [number, string][] = [
    [400, 'invalid_request_error'],
    [401, 'authentication_error'],
    [403, 'permission_error'],
    [404, 'not_found_error'],
    [408, 'timeout_error'],
    [409, 'conflict_error'],
    [413, 'request_too_large'],
    [422, 'invalid_request_error'],
    [429, 'rate_limit_error'],
    [500, 'api_error'],
    [502, 'api_error'],
    [503, 'api_error'],
    [504, 'timeout_error'],
    [529, 'overloaded_error'],
  ];
  it.each(statuses)('answer status %i with %s', async (status, type) => {
    const { error, call, simulator } = await streamed({ kind: 'status', status });
    expect(error).toMatchObject({ status, type });
    expect(error.requestID).toBe(call.id);
    expect(call).toMatchObject({ state: 'failed', status, fault: 'status', usage: { input_tokens: 0 } });
    expect(simulator.buckets().sonnet).toMatchObject({ requests: { charged: 1 }, inputTokens: { charged: 0 } });
  });

  it('carry error code, message and retry-after', async () => {
    const { error } = await streamed({
      kind: 'status',
      status: 429,
      errorCode: 'enforced_spend_limit_reached',
      message: 'The spend limit is reached.',
      retryAfter: 7,
    });
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect(error).toMatchObject({
      errorCode: 'enforced_spend_limit_reached',
      apiMessage: 'The spend limit is reached.',
    });
    expect(error.headers?.get('retry-after')).toBe('7');
  });

  it('answer overloaded with 529', async () => {
    expect((await streamed({ kind: 'overloaded' })).error).toMatchObject({ status: 529, type: 'overloaded_error' });
  });

  it('cut the connection', async () => {
    const { error, call } = await streamed({ kind: 'reset' });
    expect(error).toBeInstanceOf(Anthropic.APIConnectionError);
    expect(call).toMatchObject({ state: 'failed', status: null, fault: 'reset' });
  });

  it('hang until the client gives up', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'hang' }] });
    const stream = client.messages.stream(ask('Summarize.'));
    const settled = failure(stream.finalMessage());
    await simulator.waitForCall((call) => call.state === 'open');
    stream.abort();
    expect(await settled).toBeInstanceOf(Anthropic.APIUserAbortError);
    const call = await simulator.waitForCall((candidate) => candidate.state === 'aborted');
    expect(call).toMatchObject({ fault: 'hang', status: null, firstByteAt: null });
  });
});

describe('faults in the middle of the answer', () => {
  it('send an error event without a status', async () => {
    const { error, call, simulator } = await streamed({ kind: 'mid_stream_error', afterTokens: 5 });
    expect(error).toMatchObject({ status: undefined, type: 'overloaded_error' });
    expect(call).toMatchObject({ state: 'failed', status: 200, usage: { output_tokens: 5 } });
    expect(simulator.buckets().sonnet?.outputTokens.charged).toBe(5);
    expect(simulator.buckets().sonnet?.inputTokens.charged).toBe(call.usage.input_tokens);
  });

  it('can send another error type', async () => {
    const { error } = await streamed({ kind: 'mid_stream_error', errorType: 'api_error' });
    expect(error).toMatchObject({ type: 'api_error' });
  });

  it('cut the connection', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'mid_stream_reset', afterTokens: 4 }] });
    const stream = client.messages.stream(ask('Summarize.'));
    let seen = '';
    stream.on('text', (text) => {
      seen += text;
    });
    await failure(stream.finalMessage());
    expect(seen).not.toBe('');
    expect(simulator.calls()[0]).toMatchObject({ state: 'failed', status: 200, usage: { output_tokens: 4 } });
  });

  it('fall silent until the client gives up', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'mid_stream_hang' }] });
    const stream = client.messages.stream(ask('Summarize.'));
    stream.on('text', () => stream.abort());
    await failure(stream.finalMessage());
    const call = await simulator.waitForCall((candidate) => candidate.state === 'aborted');
    expect(call).toMatchObject({ fault: 'mid_stream_hang', status: 200 });
  });

  it('end the stream too early', async () => {
    const { error, call } = await streamed({ kind: 'early_end' });
    expect(error).toBeInstanceOf(Anthropic.AnthropicError);
    expect(error).not.toBeInstanceOf(Anthropic.APIError);
    expect(call.state).toBe('failed');
  });

  it('break the JSON of an event', async () => {
    const { error, call } = await streamed({ kind: 'malformed_json' });
    expect(error).not.toBeInstanceOf(Anthropic.APIError);
    expect(error.message).toMatch(/JSON/);
    expect(call.state).toBe('failed');
  });

  it.each(['mid_stream_error', 'mid_stream_reset', 'early_end', 'malformed_json'] as const)(
    'break a call without streaming: %s',
    async (kind) => {
      const { simulator, client } = await simulate({ faults: [{ kind }] });
      await failure(client.messages.create(ask('Summarize.')));
      expect(simulator.calls()[0]).toMatchObject({ state: 'failed', fault: kind });
    },
  );
});

describe('faults of the answer itself', () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] };
  const prompt = `Analyze. <output_schema>${JSON.stringify(schema)}</output_schema>`;

  it('give JSON of a wrong shape, as a successful call', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'invalid_schema', times: 1 }] });
    expect(Array.isArray(JSON.parse(textOf(await client.messages.create(ask(prompt)))))).toBe(true);
    expect(simulator.calls()[0]).toMatchObject({ state: 'succeeded', fault: 'invalid_schema' });
    expect(JSON.parse(textOf(await client.messages.create(ask(prompt))))).toHaveProperty('a');
  });

  it('spare a call that asks for text, and stay for one that asks for JSON', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'invalid_schema', times: 1 }] });
    await client.messages.create(ask('Summarize.'));
    await client.messages.create(ask(prompt));
    expect(simulator.calls().map((call) => call.fault)).toEqual([null, 'invalid_schema']);
  });

  it('give JSON that is cut off', async () => {
    const { client } = await simulate({ faults: [{ kind: 'malformed_output' }] });
    const message = await client.messages.create(ask(prompt));
    expect(message.stop_reason).toBe('end_turn');
    expect(() => JSON.parse(textOf(message))).toThrow();
  });

  it('refuse', async () => {
    const { client } = await simulate({ faults: [{ kind: 'refusal' }] });
    const message = await client.messages.stream(ask('Summarize.')).finalMessage();
    expect(message.stop_reason).toBe('refusal');
    expect(message.stop_details).toMatchObject({ type: 'refusal' });
  });

  it('run into max_tokens', async () => {
    const { client } = await simulate({ faults: [{ kind: 'max_tokens' }] });
    expect((await client.messages.create(ask('Summarize.'))).stop_reason).toBe('max_tokens');
  });

  it('take longer', async () => {
    const { client } = await simulate({ latency: { firstTokenMs: 10 }, faults: [{ kind: 'slow', factor: 10 }] });
    const startedMs = performance.now();
    await client.messages.create(ask('Summarize.', { max_tokens: 1 }));
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(95);
  });
});

describe('fault rules', () => {
  it('strike only the calls that match', async () => {
    const { client, clientWith } = await simulate({
      faults: [
        { id: 'opus', kind: 'status', match: { model: 'claude-opus-5-5' } },
        { id: 'text', kind: 'status', status: 503, match: { contains: 'harbinger' } },
        { id: 'key', kind: 'status', status: 403, match: { key: '9999' } },
      ],
    });
    await client.messages.create(ask('Summarize.'));
    expect(await failure(client.messages.create(ask('Hi', { model: 'claude-opus-5-5' })))).toMatchObject({
      status: 500,
    });
    expect(await failure(client.messages.create(ask('harbinger')))).toMatchObject({ status: 503 });
    expect(await failure(clientWith('key-9999').messages.create(ask('Hi')))).toMatchObject({ status: 403 });
  });

  it('skip the first calls, strike a number of times, then let go', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'overloaded', skip: 1, times: 2 }] });
    for (let call = 0; call < 5; call++) await client.messages.create(ask('Hi')).catch(() => {});
    const states = simulator.calls().map((call) => call.state);
    expect(states).toEqual(['succeeded', 'failed', 'failed', 'succeeded', 'succeeded']);
  });

  it('strike a share of the calls by a seeded die', async () => {
    const run = async () => {
      const { simulator, client } = await simulate({ seed: 7, faults: [{ kind: 'overloaded', rate: 0.5 }] });
      for (let call = 0; call < 20; call++) await client.messages.create(ask('Hi')).catch(() => {});
      return simulator.calls().map((call) => call.state);
    };
    const first = await run();
    expect(await run()).toEqual(first);
    expect(new Set(first)).toEqual(new Set(['succeeded', 'failed']));
  });
});
