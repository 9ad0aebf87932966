import type Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { pdf, png } from '../support/media.js';
import { ask, DOCUMENT, failure, MODEL, simulate, textOf } from './simulated-claude-harness.js';

describe('create', () => {
  it('answers with sentences of the document, marked as simulated', async () => {
    const { client } = await simulate();
    const message = await client.messages.create(ask('Summarize this document.'));
    const text = textOf(message);
    expect(text).toMatch(/^\[simulated\] /);
    expect(message.stop_reason).toBe('end_turn');
    expect(text).toContain('harbour');
    const flat = DOCUMENT.replaceAll('\n', ' ');
    for (const sentence of text.replace('[simulated] ', '').split(/(?<=[a-z]\.) /)) expect(flat).toContain(sentence);
  });

  it('gives the paragraphs and points that the last turn asks for', async () => {
    const { client } = await simulate();
    const summary = await client.messages.create(ask('Write a summary of two paragraphs.'));
    expect(textOf(summary).split('\n\n')).toHaveLength(2);
    const points = await client.messages.create(ask('List the 5 most important points.'));
    expect(textOf(points).split('\n')).toHaveLength(5);
  });

  it('uses the document of an earlier turn when it is asked to go on', async () => {
    const { client } = await simulate();
    const first = ask('Give the five most important points.');
    const answer = await client.messages.create(first);
    const message = await client.messages.create({
      ...first,
      messages: [
        ...first.messages,
        { role: 'assistant', content: textOf(answer) },
        { role: 'user', content: 'Now write a summary of those key points in exactly 2 paragraphs.' },
      ],
    });
    expect(textOf(message)).toContain('breakwater');
    expect(textOf(message)).not.toContain('Now write');
    expect(textOf(message).split('\n\n')).toHaveLength(2);
  });

  it('gives the same answer to the same request, streamed or not', async () => {
    const { client } = await simulate();
    const first = await client.messages.create(ask('Summarize.'));
    const second = await client.messages.create(ask('Summarize.'));
    const streamed = await client.messages.stream(ask('Summarize.')).finalMessage();
    expect(textOf(second)).toBe(textOf(first));
    expect(textOf(streamed)).toBe(textOf(first));
    expect(streamed.usage).toEqual(first.usage);
  });

  it('stops at max_tokens with the text so far', async () => {
    const { client } = await simulate();
    const whole = await client.messages.create(ask('Summarize.'));
    const cut = await client.messages.create(ask('Summarize.', { max_tokens: 10 }));
    expect(cut.stop_reason).toBe('max_tokens');
    expect(cut.usage.output_tokens).toBe(10);
    expect(textOf(whole).startsWith(textOf(cut))).toBe(true);
  });

  it('stops at a stop sequence and names it', async () => {
    const { client } = await simulate();
    const message = await client.messages.create(ask('Summarize.', { stop_sequences: ['harbour'] }));
    expect(message.stop_reason).toBe('stop_sequence');
    expect(message.stop_sequence).toBe('harbour');
    expect(textOf(message)).not.toContain('harbour');
  });

  it('answers a prompt without any document', async () => {
    const { client } = await simulate();
    const message = await client.messages.create({
      model: MODEL,
      max_tokens: 100,
      messages: [{ role: 'user', content: 'Hello there' }],
    });
    expect(textOf(message)).toBe('[simulated] Hello there');
  });

  it('reads documents that come as content blocks', async () => {
    const { client } = await simulate();
    const message = await client.messages.create({
      model: MODEL,
      max_tokens: 300,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'document', source: { type: 'text', media_type: 'text/plain', data: DOCUMENT } },
            { type: 'text', text: 'Summarize the document.' },
          ],
        },
      ],
    });
    expect(textOf(message)).toContain('harbour');
  });
});

describe('images and PDF documents', () => {
  type Block = Anthropic.ImageBlockParam | Anthropic.DocumentBlockParam;
  const image = (bytes: Buffer, type = 'image/png') => media('image', type, bytes.toString('base64'));
  const document = (bytes: Buffer) => media('document', 'application/pdf', bytes.toString('base64'));
  const media = (type: string, media_type: string, data: string) =>
    ({ type, source: { type: 'base64', media_type, data } }) as Block;
  const about = (...blocks: Block[]): Anthropic.MessageCreateParamsNonStreaming => ({
    model: MODEL,
    max_tokens: 100,
    messages: [{ role: 'user', content: [...blocks, { type: 'text', text: 'What is it about?' }] }],
  });

  it('cost the tokens that the documentation says', async () => {
    const { client } = await simulate();
    const tokensOf = async (...blocks: Block[]) => (await client.messages.create(about(...blocks))).usage.input_tokens;
    const plain = await tokensOf();
    expect(await tokensOf(image(png(1_000, 1_000)))).toBe(plain + 1_296);
    expect(await tokensOf(document(pdf(3)), image(png(28, 28)))).toBe(plain + 9_001);
    const { model, messages } = about(document(pdf(3)));
    expect((await client.messages.countTokens({ model, messages })).input_tokens).toBe(plain + 9_000);
  });

  it.each([
    ['messages.0.content.0.image.source: Field required', { type: 'image' }],
    ['image.source.base64.media_type: Input should be', media('image', 'image/tiff', 'AAAA')],
    ['document.source.base64.media_type: Input should be', media('document', 'image/png', 'AAAA')],
    ['base64.data: Field required', media('image', 'image/png', undefined as unknown as string)],
    ['image cannot be empty', media('image', 'image/png', '')],
    ['invalid base64 data', media('image', 'image/png', 'not base64!')],
    ['Could not process image', media('image', 'image/png', 'AAAA')],
    ['The image is image/png, but the media type says image/gif', image(png(2, 2), 'image/gif')],
    ['at most 8000', image(png(8_001, 1))],
  ])('are refused with 400: %s', async (message, block) => {
    const { client } = await simulate();
    const refused = await client.messages.create(about(block as Block)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 400, message: expect.stringContaining(message) });
  });
});

describe('stream', () => {
  it('sends the events of the Messages API in their order', async () => {
    const { client } = await simulate();
    const names: string[] = [];
    for await (const event of await client.messages.create({ ...ask('Summarize.'), stream: true })) {
      if (names.at(-1) !== event.type) names.push(event.type);
    }
    expect(names).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
  });

  it('sends a ping that the raw stream shows', async () => {
    const { simulator } = await simulate();
    const response = await fetch(`${simulator.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': 'key', 'anthropic-version': '2026-10-21' },
      body: JSON.stringify({ ...ask('Summarize.'), stream: true }),
    });
    expect(await response.text()).toContain('event: ping\ndata: {"type":"ping"}\n\n');
  });

  it('gives the log exactly the usage that the client saw', async () => {
    const { simulator, client } = await simulate();
    const message = await client.messages.stream(ask('Summarize.')).finalMessage();
    const [call] = simulator.calls();
    expect(call).toMatchObject({ state: 'succeeded', status: 200, model: MODEL, stopReason: 'end_turn' });
    expect(message.usage).toMatchObject({ ...call!.usage });
    expect(call!.usage.output_tokens).toBeGreaterThan(20);
  });

  it('notes a client that goes away as aborted, with the tokens produced until then', async () => {
    const { simulator, client } = await simulate({ latency: { firstTokenMs: 0, msPerOutputToken: 20 } });
    const stream = client.messages.stream(ask('Summarize.'));
    stream.on('text', () => stream.abort());
    await expect(stream.finalMessage()).rejects.toThrow('aborted');
    const call = await simulator.waitForCall((candidate) => candidate.state === 'aborted');
    expect(call.usage.output_tokens).toBeGreaterThan(0);
    expect(call.usage.output_tokens).toBeLessThan(20);
    expect(simulator.buckets().sonnet?.outputTokens.charged).toBe(call.usage.output_tokens);
  });
});

describe('tools', () => {
  const tool: Anthropic.Tool = {
    name: 'save_note',
    description: 'Saves a note.',
    input_schema: {
      type: 'object',
      properties: { title: { type: 'string' }, pages: { type: 'integer', minimum: 1, maximum: 9 } },
      required: ['title', 'pages'],
    },
  };

  it('calls the tool that is forced, with input that fits its schema, streamed as JSON', async () => {
    const { client } = await simulate();
    const request = ask('Note this.', { tools: [tool], tool_choice: { type: 'tool', name: 'save_note' } });
    const message = await client.messages.stream(request).finalMessage();
    expect(message.stop_reason).toBe('tool_use');
    const block = message.content[0] as Anthropic.ToolUseBlock;
    expect(block).toMatchObject({ type: 'tool_use', name: 'save_note' });
    expect(block.input).toMatchObject({ title: expect.any(String), pages: expect.any(Number) });
    const created = await client.messages.create(request);
    expect((created.content[0] as Anthropic.ToolUseBlock).input).toEqual(block.input);
  });

  it('calls a tool of its own accord only when the prompt names it', async () => {
    const { client } = await simulate();
    const named = await client.messages.create(ask('Use save_note for this.', { tools: [tool] }));
    const unnamed = await client.messages.create(ask('Summarize this.', { tools: [tool] }));
    expect(named.stop_reason).toBe('tool_use');
    expect(unnamed.stop_reason).toBe('end_turn');
  });

  it('answers with text once the result of the tool is there', async () => {
    const { client } = await simulate();
    const request = ask('Use save_note for this.', { tools: [tool] });
    const first = await client.messages.create(request);
    const block = first.content[0] as Anthropic.ToolUseBlock;
    const message = await client.messages.create({
      ...request,
      messages: [
        ...request.messages,
        { role: 'assistant', content: first.content as Anthropic.ContentBlockParam[] },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: block.id, content: 'The note was saved on page seven.' }],
        },
      ],
    });
    expect(message.stop_reason).toBe('end_turn');
    expect(textOf(message)).toContain('page seven');
  });
});

describe('the other endpoints', () => {
  it('counts the tokens that a call is then charged', async () => {
    const { client } = await simulate();
    const { max_tokens: _, ...request } = ask('Summarize.', { system: 'You are careful.' });
    const counted = await client.messages.countTokens(request);
    const message = await client.messages.create({ ...request, max_tokens: 50 });
    expect(counted.input_tokens).toBe(message.usage.input_tokens);
  });

  it('lists its models page by page and describes each', async () => {
    const { client } = await simulate();
    const ids: string[] = [];
    for await (const model of client.models.list({ limit: 2 })) ids.push(model.id);
    expect(ids.sort()).toEqual(['claude-haiku-5-5', 'claude-opus-5-5', 'claude-sonnet-5-5']);
    const model = await client.models.retrieve(MODEL);
    expect(model).toMatchObject({ id: MODEL, type: 'model', max_input_tokens: 1_000_000, line: 'sonnet' });
    expect(await failure(client.models.retrieve('claude-none'))).toMatchObject({ status: 404 });
  });

  it('answers an unknown route with a JSON error and a request id', async () => {
    const { simulator } = await simulate();
    const response = await fetch(`${simulator.url}/v1/complete`, { method: 'POST', body: '{}' });
    expect(response.status).toBe(404);
    const body = (await response.json()) as Record<string, unknown>;
    expect(body).toMatchObject({ type: 'error', error: { type: 'not_found_error' } });
    expect(body.request_id).toBe(response.headers.get('request-id'));
  });
});

describe('bad requests', () => {
  const invalid: [string, Record<string, unknown>, string][] = [
    ['no model', { model: undefined }, 'model: Field required'],
    ['no max_tokens', { max_tokens: undefined }, 'max_tokens: Field required'],
    ['no messages', { messages: undefined }, 'messages: Field required'],
    ['an empty list of messages', { messages: [] }, 'at least one message is required'],
    [
      'an assistant first',
      { messages: [{ role: 'assistant', content: 'Hi' }] },
      "first message must use the 'user' role",
    ],
    ['an unknown role', { messages: [{ role: 'owner', content: 'Hi' }] }, 'messages.0.role'],
    ['an empty text block', { messages: [{ role: 'user', content: [{ type: 'text', text: '' }] }] }, 'non-empty'],
    ['max_tokens over the maximum', { max_tokens: 128_001 }, 'max_tokens: 128001 > 128000'],
    ['a tool choice without tools', { tool_choice: { type: 'any' } }, 'while providing tools'],
    ['an output format without schema', { output_config: { format: { type: 'json_schema' } } }, 'output_config.format'],
  ];
  it.each(invalid)('refuses %s with 400 and names the field', async (_, change, message) => {
    const { simulator } = await simulate();
    const response = await fetch(`${simulator.url}/v1/messages`, {
      method: 'POST',
      headers: { authorization: 'Bearer key', 'anthropic-version': '2026-10-21' },
      body: JSON.stringify({ ...ask('Summarize.'), ...change }),
    });
    expect(response.status).toBe(400);
    const body = (await response.json()) as { error: { type: string; message: string } };
    expect(body.error.type).toBe('invalid_request_error');
    expect(body.error.message).toContain(message);
    expect(simulator.calls()[0]).toMatchObject({ state: 'failed', status: 400 });
  });

  it('refuses a body that is not JSON', async () => {
    const { simulator } = await simulate();
    const headers = { 'x-api-key': 'key', 'anthropic-version': '2026-10-21' };
    const response = await fetch(`${simulator.url}/v1/messages`, { method: 'POST', headers, body: '{"model":' });
    expect(response.status).toBe(400);
  });

  it('does not know other models', async () => {
    const { client } = await simulate();
    const error = await failure(client.messages.create(ask('Hi', { model: 'claude-sonnet-4-20250514' })));
    expect(error).toMatchObject({ status: 404, type: 'not_found_error' });
    expect(error.message).toContain('claude-sonnet-4-20250514');
  });

  it('refuses a prompt over the context window with the numbers', async () => {
    const { client } = await simulate();
    const messages = [{ role: 'user' as const, content: 'harbour '.repeat(1_000_001) }];
    const error = await failure(client.messages.create({ model: MODEL, max_tokens: 10, messages }));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toMatch(/prompt is too long: \d+ tokens > 1000000 maximum/);
  });

  it('refuses a body over the size limit with 413', async () => {
    const { client } = await simulate({ maxBodyBytes: 10_000 });
    const messages = [{ role: 'user' as const, content: 'harbour '.repeat(20_000) }];
    const error = await failure(client.messages.create({ model: MODEL, max_tokens: 10, messages }));
    expect(error).toMatchObject({ status: 413, type: 'request_too_large' });
  });

  it('refuses a missing or invalid key with 401', async () => {
    const { simulator, clientWith } = await simulate();
    const error = await failure(clientWith('invalid-key').messages.create(ask('Hi')));
    expect(error).toMatchObject({ status: 401, type: 'authentication_error' });
    expect(error.requestID).toBe(simulator.calls()[0]?.id);
    const bare = await fetch(`${simulator.url}/v1/messages`, { method: 'POST', body: JSON.stringify(ask('Hi')) });
    expect(bare.status).toBe(401);
  });

  it('accepts only the keys it was given', async () => {
    const { clientWith } = await simulate({ apiKeys: ['right'] });
    expect(await failure(clientWith('wrong').messages.create(ask('Hi')))).toMatchObject({ status: 401 });
    expect((await clientWith('right').messages.create(ask('Hi'))).type).toBe('message');
  });
});
