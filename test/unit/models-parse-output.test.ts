import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { HoldfastError } from '../../src/contracts/errors.js';
import { parseOutput, promptedSchemaText, schemaForModel } from '../../src/models/parse-output.js';

const schema = z.object({ title: z.string(), points: z.array(z.object({ text: z.string().min(2) })) });
const value = { title: 'T', points: [{ text: 'one' }, { text: 'a } in "text" [' }] };
const json = JSON.stringify(value);

describe('parseOutput', () => {
  test.each([
    ['bare', json],
    ['with white space', `\n  ${JSON.stringify(value, null, 2)}\n`],
    ['in a fence', `\`\`\`json\n${json}\n\`\`\``],
    ['in a fence without a language', `\`\`\`\n${json}\n\`\`\``],
    ['in a fence with Windows line ends', `\`\`\`json\r\n${json}\r\n\`\`\``],
    ['in a fence within prose', `Here it is:\n\n\`\`\`json\n${json}\n\`\`\`\nDone.`],
    ['within prose', `Here it is: ${json} I hope it helps.`],
    ['after prose in brackets', `[As asked] ${json}`],
  ])('reads JSON %s', async (_, text) => {
    expect(await parseOutput(schema, text)).toEqual({ ok: true, value });
  });

  test.each([
    ['nothing', '', 'The answer is empty.'],
    ['white space', ' \n ', 'The answer is empty.'],
    ['prose', 'I cannot do that.', 'The answer is not valid JSON'],
    ['two values', `${json} or ${json}`, 'The answer has 2 JSON values'],
    ['two fences', `\`\`\`json\n${json}\n\`\`\`\n\`\`\`json\n${json}\n\`\`\``, 'The answer has 2 JSON blocks'],
    ['JSON that is cut off', json.slice(0, -3), 'The answer is not valid JSON'],
    [
      'broken JSON around a whole object',
      '{"title": oops, "points": [{"text": "one"}]}',
      'The answer is not valid JSON',
    ],
  ])('does not guess at %s', async (_, text, error) => {
    expect(await parseOutput(schema, text)).toEqual({ ok: false, error: expect.stringContaining(error) });
  });

  test('tells the model what is wrong and where', async () => {
    const parsed = await parseOutput(schema, '{"title": 3, "points": [{"text": "ok"}, {"text": "x"}]}');
    expect(parsed.ok).toBe(false);
    const lines = parsed.ok ? [] : parsed.error.split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^- title: .*string/);
    expect(lines[1]).toMatch(/^- points\[1\]\.text: /);
  });

  test('names the whole answer when it is of the wrong kind', async () => {
    const parsed = await parseOutput(schema, '[]');
    expect(parsed.ok ? '' : parsed.error).toMatch(/^- \(whole answer\): .*object/);
  });

  test('does not drown the model in issues', async () => {
    const parsed = await parseOutput(z.array(z.string()), JSON.stringify(Array.from({ length: 100 }, () => 1)));
    const lines = parsed.ok ? [] : parsed.error.split('\n');
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toBe('- and 80 more');
  });

  test('gives the value after defaults and transforms', async () => {
    const lenient = z.object({ n: z.string().transform(Number), d: z.string().default('x') });
    expect(await parseOutput(lenient, '{"n": "4"}')).toEqual({ ok: true, value: { n: 4, d: 'x' } });
  });
});

describe('schemaForModel', () => {
  test('closes objects and moves what cannot be enforced into descriptions', async () => {
    expect(schemaForModel(z.object({ name: z.string().min(2).describe('A name.') }))).toEqual({
      type: 'object',
      properties: { name: { type: 'string', description: 'A name.\n\n{minLength: 2}' } },
      required: ['name'],
      additionalProperties: false,
    });
  });

  test('gives the same bytes each time', async () => {
    expect(JSON.stringify(schemaForModel(schema))).toBe(JSON.stringify(schemaForModel(schema)));
  });

  test('describes what the model writes, not what the chain gets', async () => {
    const native = schemaForModel(z.object({ n: z.string().transform(Number) }));
    expect(native.properties).toEqual({ n: { type: 'string' } });
  });

  test.each([
    ['a date', z.object({ at: z.date() })],
    ['anything', z.object({ it: z.any() })],
    ['a record', z.object({ counts: z.record(z.string(), z.number()) })],
    ['a record within an array', z.array(z.object({ properties: z.record(z.string(), z.string()) }))],
  ])('refuses %s, which no provider can enforce', async (_, unfit) => {
    expect(() => schemaForModel(unfit)).toThrow(HoldfastError);
  });

  test('takes fields that are called like keywords', async () => {
    const names = z.object({
      enum: z.string(),
      default: z.string(),
      properties: z.object({ propertyNames: z.string() }),
    });
    expect(schemaForModel(names)).toMatchObject({ required: ['enum', 'default', 'properties'] });
  });

  test('keeps everything for a prompt', async () => {
    const prompted = schemaForModel(z.object({ counts: z.record(z.string(), z.number()) }), 'prompted');
    expect(prompted).toMatchObject({ properties: { counts: { additionalProperties: { type: 'number' } } } });
  });
});

test('promptedSchemaText shows the schema and asks for bare JSON', async () => {
  const text = promptedSchemaText(schemaForModel(z.object({ a: z.number() }), 'prompted'));
  const [, shown] = /^<output_schema>\n(.*)\n<\/output_schema>\n/.exec(text) ?? [];
  expect(JSON.parse(shown ?? '')).toEqual({ type: 'object', properties: { a: { type: 'number' } }, required: ['a'] });
  expect(text).toContain('no code fence');
});
