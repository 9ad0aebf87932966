import { describe, expect, test } from 'vitest';
import type { ModelRequest, Turn } from '../../src/contracts/models.js';
import { buildPrompt, buildRequest } from '../../src/models/build-request.js';

function turn(role: Turn['role'], ...texts: string[]): Turn {
  return { role, content: texts.map((text) => ({ type: 'text', text })) };
}

const IMAGE = Buffer.from('an image');
const PDF = Buffer.from('a document');
const BLOBS = new Map([
  ['i', IMAGE],
  ['p', PDF],
]);
const image = { type: 'image', blob: 'i', bytes: 8, mediaType: 'image/png', width: 2, height: 1 } as const;
const document = { type: 'document', blob: 'p', bytes: 10, mediaType: 'application/pdf', pages: 1 } as const;

function request(turns: readonly Turn[], more: Partial<ModelRequest> = {}): ModelRequest {
  return { model: 'claude-sonnet-5-5', maxTokens: 100, system: 'Be brief.', turns, cache: '5m', ...more };
}

const FIRST = [turn('user', 'one')];
const SECOND = [...FIRST, turn('assistant', 'uno'), turn('user', 'two')];
const THIRD = [...SECOND, turn('assistant', 'due'), turn('user', 'three')];

/** The body with its breakpoints taken out: what the prompt cache compares. */
function content(of: ModelRequest): string {
  return JSON.stringify(buildRequest(of), (key, value) => (key === 'cache_control' ? undefined : value));
}

function breakpoints(of: ModelRequest): string[] {
  const found: string[] = [];
  JSON.stringify(buildRequest(of), (_, value) => {
    if (value?.cache_control !== undefined) found.push(value.text);
    return value;
  });
  return found;
}

describe('buildRequest', () => {
  test('gives the same bytes for the same request', () => {
    expect(JSON.stringify(buildRequest(request(THIRD)))).toBe(
      JSON.stringify(buildRequest(request(structuredClone(THIRD)))),
    );
  });

  test('leaves the bytes of earlier turns as they were when the conversation grows', () => {
    const upToTurns = (of: ModelRequest) => JSON.stringify(JSON.parse(content(of)).messages).slice(0, -1);
    expect(upToTurns(request(SECOND)).startsWith(upToTurns(request(FIRST)))).toBe(true);
    expect(upToTurns(request(THIRD)).startsWith(upToTurns(request(SECOND)))).toBe(true);
  });

  test('breaks the cache at the system prompt and at the last two user turns', () => {
    expect(breakpoints(request(FIRST))).toEqual(['Be brief.', 'one']);
    expect(breakpoints(request(SECOND))).toEqual(['Be brief.', 'one', 'two']);
    expect(breakpoints(request(THIRD))).toEqual(['Be brief.', 'two', 'three']);
  });

  test('reads in a call where the call before it wrote', () => {
    expect(breakpoints(request(THIRD))).toContain(breakpoints(request(SECOND)).at(-1));
  });

  test('breaks at the last block of a turn that is not empty', () => {
    expect(breakpoints(request([turn('user', 'a', 'b', '')]))).toEqual(['Be brief.', 'b']);
    expect(breakpoints(request([turn('user', '')]))).toEqual(['Be brief.']);
  });

  test('asks for the lifetime that the step wants', () => {
    expect(JSON.stringify(buildRequest(request(FIRST, { cache: '1h' })))).toContain('{"type":"ephemeral","ttl":"1h"}');
  });

  test('has no breakpoints when caching is off', () => {
    expect(breakpoints(request(THIRD, { cache: 'off' }))).toEqual([]);
  });

  test('has the same content whether cached or not', () => {
    expect(content(request(THIRD, { cache: 'off' }))).toBe(content(request(THIRD, { cache: '1h' })));
  });

  test('carries images and documents as base64, in their places', () => {
    const content = [image, { type: 'text', text: 'What is it?' } as const, document];
    const { messages } = buildRequest(request([{ role: 'user', content }], { cache: 'off', blobs: BLOBS }));
    const base64 = (bytes: Buffer, media_type: string) => ({
      type: 'base64',
      media_type,
      data: bytes.toString('base64'),
    });
    expect(messages[0]?.content).toEqual([
      { type: 'image', source: base64(IMAGE, 'image/png') },
      { type: 'text', text: 'What is it?' },
      { type: 'document', source: base64(PDF, 'application/pdf') },
    ]);
  });

  test('breaks the cache at an image or document that ends its turn', () => {
    const turns: Turn[] = [{ role: 'user', content: [{ type: 'text', text: 'Look:' }, image] }];
    const { messages } = buildRequest(
      request([...turns, turn('assistant', 'Yes.'), turn('user', 'So?')], { blobs: BLOBS }),
    );
    expect(messages[0]?.content).toMatchObject([{ text: 'Look:' }, { cache_control: { type: 'ephemeral' } }]);
    expect(JSON.stringify(messages).split('cache_control')).toHaveLength(3);
  });

  test('refuses to leave out an image whose bytes it was not given', () => {
    const turns: Turn[] = [{ role: 'user', content: [image] }];
    expect(() => buildRequest(request(turns))).toThrow('lacks the bytes of image i');
  });

  test('does not touch the turns that it was given', () => {
    const turns = structuredClone(THIRD);
    buildRequest(request(turns));
    expect(turns).toEqual(THIRD);
  });

  test('leaves out what the request does not have', () => {
    const body = buildRequest(request(FIRST, { system: undefined }));
    expect(Object.keys(body).sort()).toEqual(['max_tokens', 'messages', 'model', 'stream']);
    expect(buildRequest(request(FIRST, { system: '' }))).not.toHaveProperty('system');
  });

  test('has the provider enforce the output schema', () => {
    const outputSchema = { type: 'object', properties: {}, additionalProperties: false };
    expect(buildRequest(request(FIRST, { outputSchema })).output_config).toEqual({
      format: { type: 'json_schema', schema: outputSchema },
    });
  });
});

test('buildPrompt has everything that is counted, and nothing else', () => {
  const { max_tokens, stream, ...rest } = buildRequest(request(THIRD));
  expect(buildPrompt(request(THIRD))).toEqual(rest);
});
