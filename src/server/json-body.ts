import type { Context } from 'hono';
import { z } from 'zod';
import { HoldfastError } from '../contracts/errors.js';

/** A text in a body. PostgreSQL cannot keep a NUL. */
export const text = z.string().regex(/^[^\0]*$/, 'has a NUL character');

/** Reads a body of JSON. Throws `INVALID_INPUT` when it is none; the content type has been checked before. */
export async function readJson(c: Context): Promise<unknown> {
  const bytes = await c.req.arrayBuffer();
  let text: string;
  try {
    // Strict: in another encoding the model would be paid for a text with holes.
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new HoldfastError('INVALID_INPUT', 'The body is not UTF-8.', 'Send it as UTF-8.', { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('INVALID_INPUT', `The body is not JSON: ${detail}.`, 'Correct it.', { cause: error });
  }
}

/** Reads a body of a given shape. Throws `INVALID_INPUT` with every field that is wrong. */
export async function readBody<Schema extends z.ZodType>(c: Context, schema: Schema): Promise<z.infer<Schema>> {
  const parsed = schema.safeParse(await readJson(c));
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the body'}: ${message}`);
  throw new HoldfastError(
    'INVALID_INPUT',
    `The body does not fit: ${problems.join('; ')}.`,
    'Correct the named fields.',
  );
}
