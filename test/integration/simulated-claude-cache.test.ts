import type Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { failure, LONG_DOCUMENT, MODEL, simulate } from './simulated-claude-harness.js';

type Params = Anthropic.MessageCreateParamsNonStreaming;
const MARK = { type: 'ephemeral' as const };

function cached(change: Partial<Params> = {}, mark: Anthropic.CacheControlEphemeral | undefined = MARK): Params {
  return {
    model: MODEL,
    max_tokens: 20,
    system: 'You are careful.',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: `<document>${LONG_DOCUMENT}</document>`, cache_control: mark },
          { type: 'text', text: 'Summarize the document.' },
        ],
      },
    ],
    ...change,
  };
}

function kinds({ usage }: Anthropic.Message) {
  return { input: usage.input_tokens, read: usage.cache_read_input_tokens, write: usage.cache_creation_input_tokens };
}

describe('the prompt cache', () => {
  it('writes a marked prefix once and reads it from then on', async () => {
    const { client } = await simulate();
    const first = kinds(await client.messages.create(cached()));
    const second = kinds(await client.messages.create(cached()));
    expect(first.read).toBe(0);
    expect(first.write).toBeGreaterThan(1_024);
    expect(second).toEqual({ input: first.input, read: first.write, write: 0 });
    expect(first.input).toBeLessThan(10);
  });

  it('reads the prefix of an earlier turn and writes only what is new', async () => {
    const { client } = await simulate();
    const first = kinds(await client.messages.create(cached()));
    const request = cached();
    const next = kinds(
      await client.messages.create({
        ...request,
        messages: [
          ...request.messages,
          { role: 'assistant', content: 'A summary.' },
          { role: 'user', content: [{ type: 'text', text: 'Shorter, please.', cache_control: MARK }] },
        ],
      }),
    );
    expect(next.read).toBe(first.write);
    expect(next.write).toBeGreaterThan(0);
    expect(next.write).toBeLessThan(50);
    expect(next.input).toBe(0);
  });

  it('marks the last block when the mark stands on the request itself', async () => {
    const { client } = await simulate();
    const request = { ...cached({}, undefined), cache_control: MARK };
    const first = kinds(await client.messages.create(request));
    expect(kinds(await client.messages.create(request))).toEqual({ input: 0, read: first.write, write: 0 });
  });

  const tool: Anthropic.Tool = { name: 'look_up', input_schema: { type: 'object' } };
  const schema = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] };
  const misses: [string, Partial<Params>][] = [
    ['model', { model: 'claude-opus-5-5' }],
    ['tools', { tools: [tool] }],
    ['system', { system: 'You are bold.' }],
    ['output schema', { output_config: { format: { type: 'json_schema', schema } } }],
  ];
  it.each(misses)('misses when the %s differs', async (_, change) => {
    const { client } = await simulate();
    await client.messages.create(cached());
    const other = kinds(await client.messages.create(cached(change)));
    expect(other.read).toBe(0);
    expect(other.write).toBeGreaterThan(1_024);
  });

  it('misses under another API key', async () => {
    const { clientWith } = await simulate();
    await clientWith('key-one').messages.create(cached());
    expect(kinds(await clientWith('key-two').messages.create(cached())).read).toBe(0);
  });

  it('misses when a byte before the mark differs', async () => {
    const { client } = await simulate();
    await client.messages.create(cached());
    const request = cached();
    const messages = [{ role: 'user' as const, content: 'Hello.' }, ...request.messages];
    expect(kinds(await client.messages.create({ ...request, messages })).read).toBe(0);
  });

  it('keeps nothing under the minimum of the model', async () => {
    const { client } = await simulate();
    const short = cached({
      messages: [{ role: 'user', content: [{ type: 'text', text: 'A short text.', cache_control: MARK }] }],
    });
    await client.messages.create(short);
    expect(kinds(await client.messages.create(short))).toMatchObject({ read: 0, write: 0 });
  });

  it('forgets after five minutes or an hour without use, and each use renews', async () => {
    let now = Date.UTC(2026, 0, 1);
    const { client } = await simulate({ clock: { now: () => now } });
    const hour = cached({ system: 'The hour.' }, { type: 'ephemeral', ttl: '1h' });
    const written = await client.messages.create(hour);
    expect(written.usage.cache_creation).toMatchObject({ ephemeral_5m_input_tokens: 0 });
    expect(written.usage.cache_creation?.ephemeral_1h_input_tokens).toBeGreaterThan(1_024);
    await client.messages.create(cached());
    now += 4 * 60_000;
    expect(kinds(await client.messages.create(cached())).write).toBe(0);
    now += 4 * 60_000;
    expect(kinds(await client.messages.create(cached())).write).toBe(0);
    now += 5 * 60_000;
    expect(kinds(await client.messages.create(cached())).read).toBe(0);
    expect(kinds(await client.messages.create(hour)).write).toBe(0);
    now += 60 * 60_000;
    expect(kinds(await client.messages.create(hour)).read).toBe(0);
  });

  it('shows a prefix to others only when the response that writes it begins', async () => {
    const { simulator, client } = await simulate({ latency: { firstTokenMs: 30 } });
    const [first, second] = await Promise.all([client.messages.create(cached()), client.messages.create(cached())]);
    expect([kinds(first).read, kinds(second).read]).toEqual([0, 0]);
    simulator.clearCache();
    expect(kinds(await client.messages.create(cached())).read).toBe(0);
  });

  it('looks back over twenty blocks and no further', async () => {
    const { client } = await simulate();
    await client.messages.create(cached());
    const grown = (blocks: number) => {
      const request = cached();
      const filler = Array.from({ length: blocks }, (_, index) => ({ type: 'text' as const, text: `Note ${index}.` }));
      const last = { type: 'text' as const, text: 'Go on.', cache_control: MARK };
      const first = request.messages[0]!.content as Anthropic.TextBlockParam[];
      const unmarked = { type: 'text' as const, text: first[0]!.text };
      return { ...request, messages: [{ role: 'user' as const, content: [unmarked, ...filler, last] }] };
    };
    expect(kinds(await client.messages.create(grown(25))).read).toBe(0);
    expect(kinds(await client.messages.create(grown(10))).read).toBeGreaterThan(1_024);
  });

  it('refuses more than four marks, and a long-lived mark after a short-lived one', async () => {
    const { client } = await simulate();
    const marked = (marks: Anthropic.CacheControlEphemeral[]) =>
      cached({
        messages: [{ role: 'user', content: marks.map((mark) => ({ type: 'text', text: 'A.', cache_control: mark })) }],
      });
    const many = await failure(client.messages.create(marked([MARK, MARK, MARK, MARK, MARK])));
    expect(many).toMatchObject({ status: 400 });
    expect(many.message).toContain('Found 5');
    const order = await failure(client.messages.create(marked([MARK, { ...MARK, ttl: '1h' }])));
    expect(order.message).toContain("ttl='1h'");
  });
});
