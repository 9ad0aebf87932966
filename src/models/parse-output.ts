import { transformJSONSchema } from '@anthropic-ai/sdk/lib/transform-json-schema';
import { z } from 'zod';
import { HoldfastError } from '../contracts/errors.js';
import { findJson } from './find-json.js';

type JsonSchema = Readonly<Record<string, unknown>>;

export type ParsedOutput<Output> =
  | { readonly ok: true; readonly value: Output }
  /** `error` is written for the model: what is wrong, and where. */
  | { readonly ok: false; readonly error: string };

const MAX_ISSUES = 20;

/**
 * Reads the text of an answer as JSON and checks it by the schema. A code fence and prose around the JSON are tolerated
 * when it is clear which JSON is meant.
 */
export async function parseOutput<Output>(schema: z.ZodType<Output>, text: string): Promise<ParsedOutput<Output>> {
  const found = findJson(text);
  if (!found.ok) return found;
  const parsed = await schema.safeParseAsync(found.value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issues = parsed.error.issues.map(({ path, message }) => `- ${pathText(path)}: ${message}`);
  const more = issues.length > MAX_ISSUES ? [`- and ${issues.length - MAX_ISSUES} more`] : [];
  return { ok: false, error: [...issues.slice(0, MAX_ISSUES), ...more].join('\n') };
}

/**
 * The JSON Schema of what the model has to write: the input side of the zod schema, before defaults and transforms.
 * `native` is the subset that the provider can enforce; what it cannot (lengths, ranges, patterns) stands in the
 * descriptions, and {@link parseOutput} checks it. `prompted` is the schema as it is.
 *
 * Throws {@link HoldfastError} `BAD_CONFIGURATION` for a schema that has no such form.
 */
export function schemaForModel(schema: z.ZodType, structure: 'native' | 'prompted' = 'native'): JsonSchema {
  try {
    const jsonSchema = z.toJSONSchema(schema, { io: 'input', reused: 'ref' }) as Record<string, unknown>;
    if (structure === 'prompted') return jsonSchema;
    refuseRecords(jsonSchema, '');
    return transformJSONSchema(jsonSchema) as unknown as JsonSchema;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      `The output schema of a step cannot be given to the model: ${why}`,
      'Use a zod schema that has a JSON Schema: objects with named fields, arrays, strings, numbers, enums and unions.',
      { cause: error },
    );
  }
}

/** The schema as part of a user turn, for steps whose `structure` is `prompted`. */
export function promptedSchemaText(jsonSchema: JsonSchema): string {
  const { $schema: _, ...schema } = jsonSchema;
  return (
    `<output_schema>\n${JSON.stringify(schema)}\n</output_schema>\n` +
    'Answer with one JSON value that fits this JSON Schema and with nothing else: no introduction, no explanation, no code fence.'
  );
}

/** Structured outputs close every object, so a record would silently come back empty. */
function refuseRecords(node: unknown, path: string): void {
  if (typeof node !== 'object' || node === null) return;
  if ('propertyNames' in node && 'additionalProperties' in node) {
    throw new Error(
      `${path || 'its root'} is a record, and records cannot be enforced; use an array of pairs, or "prompted".`,
    );
  }
  for (const [key, child] of Object.entries(node)) {
    const isName = path.endsWith('.properties') || path.endsWith('.$defs');
    // A field that happens to be called `enum` or `default` is a schema; the keyword of that name is data.
    if (!isName && ['enum', 'const', 'default', 'examples'].includes(key)) continue;
    refuseRecords(child, `${path}.${key}`);
  }
}

function pathText(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '(whole answer)';
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${String(part)}`))
    .join('');
}
