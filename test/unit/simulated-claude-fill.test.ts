import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readConversation } from '../../src/embedded/simulated-claude/conversation.js';
import { SchemaFiller } from '../../src/embedded/simulated-claude/fill.js';
import type { Schema } from '../../src/embedded/simulated-claude/json-schema.js';
import { extract } from '../../src/embedded/simulated-claude/key-sentences.js';

const DOCUMENT =
  'Wind power grew quickly in the north last year. Prices for wind power fell by 12 per cent because new turbines are ' +
  'larger. The government wants to double wind power within ten years. Critics say that the grid is not ready for it.';

function fill(schema: unknown, document = DOCUMENT): unknown {
  const conversation = readConversation({
    model: 'm',
    max_tokens: 1,
    messages: [{ role: 'user', content: `Find three risks.\n\n<document>${document}</document>` }],
  });
  return new SchemaFiller(schema as Schema, extract(conversation.document), conversation).fill();
}

/** Every row: a zod schema whose value must parse. */
const fitting: [string, z.ZodType][] = [
  ['a string', z.string()],
  ['a short string', z.string().max(12)],
  ['a long string', z.string().min(900)],
  ['a string of one length', z.string().length(7)],
  ['an enum', z.enum(['alpha', 'beta'])],
  ['a literal', z.literal('exactly')],
  ['numbers at the edges', z.object({ a: z.number().min(5).max(5), b: z.int().gt(2).lt(4), c: z.number().negative() })],
  ['a multiple', z.number().multipleOf(0.5).min(1).max(3)],
  ['a range without an integer step at its start', z.int().min(-3).max(-1)],
  ['a tuple', z.tuple([z.string(), z.number()])],
  ['a list of a given length', z.array(z.boolean()).length(8)],
  ['a list of at most one', z.array(z.string()).max(1)],
  ['nullable and optional', z.object({ a: z.string().nullable(), b: z.number().optional(), c: z.null() })],
  ['a union of objects', z.union([z.object({ kind: z.literal('x'), n: z.int() }), z.object({ kind: z.literal('y') })])],
  ['a discriminated union', z.discriminatedUnion('t', [z.object({ t: z.literal(1) }), z.object({ t: z.literal(2) })])],
  ['an intersection', z.intersection(z.object({ a: z.string() }), z.object({ b: z.int() }))],
  ['a record', z.record(z.string(), z.number())],
  ['formats', z.object({ a: z.email(), b: z.url(), c: z.uuid(), d: z.iso.datetime(), e: z.iso.date(), f: z.ipv4() })],
  ['a pattern', z.string().regex(/^[A-Z]{2}-\d{4}$/)],
  ['a pattern with groups', z.string().regex(/^(?:INV|ORD)-(\d{3})[a-f]+x?$/)],
  ['deep nesting', z.object({ a: z.object({ b: z.array(z.object({ c: z.array(z.enum(['q'])) })) }) })],
  ['unknown', z.unknown()],
];

describe('filling a schema', () => {
  it.each(fitting)('fits %s', (_, schema) => {
    const value = fill(z.toJSONSchema(schema));
    expect(() => schema.parse(value)).not.toThrow();
  });

  it('follows references and ends recursion', () => {
    const node: z.ZodType = z.lazy(() => z.object({ name: z.string(), children: z.array(node).optional() }));
    const value = fill(z.toJSONSchema(node));
    expect(() => node.parse(value)).not.toThrow();
  });

  it('is the same each time', () => {
    const schema = z.toJSONSchema(z.object({ a: z.number(), b: z.boolean(), c: z.enum(['x', 'y', 'z']) }));
    expect(fill(schema)).toEqual(fill(schema));
  });

  it('chooses the value that the document mentions', () => {
    expect(fill({ enum: ['solar_power', 'wind_power', 'coal'] })).toBe('wind_power');
  });

  it('judges the tone of a document by its words', () => {
    const schema = { enum: ['positive', 'negative', 'neutral'] };
    expect(fill(schema, 'A great success. Growth improved and everyone was happy.')).toBe('positive');
    expect(fill(schema, 'The crisis was bad. Loss and danger everywhere, and many problems.')).toBe('negative');
  });

  it('makes as many elements as the instruction wants', () => {
    expect(fill({ type: 'object', properties: { risks: { type: 'array', items: { type: 'string' } } } })).toMatchObject(
      {
        risks: { length: 3 },
      },
    );
  });

  it('marks the first free text as simulated, and no label', () => {
    const value = fill(z.toJSONSchema(z.object({ id: z.string(), category: z.string(), summary: z.string() })));
    expect(value).toMatchObject({ category: 'wind', summary: expect.stringMatching(/^\[simulated\] /) });
  });

  it('reads constraints that stand in a description', () => {
    const schema = { type: 'array', items: { type: 'string' }, description: 'Points.\n\n{minItems: 5, maxItems: 5}' };
    expect(fill(schema)).toHaveLength(5);
    const pattern = { type: 'string', description: '{pattern: "^[a-z]{2}, \\\\d: x$", minLength: 3}' };
    expect(fill(pattern)).toMatch(/^[a-z]{2}, \d: x$/);
  });
});
