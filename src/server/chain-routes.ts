import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { HoldfastError } from '../contracts/errors.js';
import { readBody, text } from './json-body.js';

const submission = z.strictObject({
  chain: text,
  input: z.unknown(),
  tenant: text.optional(),
  priority: text.optional(),
  key: text.optional(),
  at: text.optional(),
  delay: text.optional(),
});

const decision = z.strictObject({
  verdict: z.enum(['retry', 'resolve', 'skip', 'cancel', 'approve', 'reject']),
  by: text.min(1, 'is empty').max(200, 'is longer than 200 characters'),
  note: text.max(10_000, 'is longer than 10,000 characters').optional(),
  edit: z.unknown().optional(),
  holdId: text.optional(),
});

/** What the client does, over HTTP. */
export function chainRoutes(client: HoldfastClient): Hono {
  return new Hono()
    .post('/', async (c) => {
      const body = await readBody(c, submission);
      const key = keyOf(body.key, c.req.header('idempotency-key'));
      const submitted = await client.submit({ ...body, key });
      return c.json(submitted, submitted.duplicate ? 200 : 201, { Location: `${c.req.path}/${submitted.id}` });
    })
    .get('/', async (c) => c.json({ chains: await client.list(listing(c)) }))
    .get('/:id', async (c) => c.json(await client.status(idOf(c))))
    .get('/:id/result', async (c) => c.json({ output: await client.result(idOf(c)) }))
    .post('/:id/decisions', async (c) => {
      const { holdId, ...verdict } = await readBody(c, decision);
      return c.json(await client.decide(idOf(c), verdict, holdId));
    })
    .put('/:id/priority', async (c) => {
      const { priority } = await readBody(c, z.strictObject({ priority: text }));
      return c.json(await client.reprioritize(idOf(c), priority));
    })
    .post('/:id/cancel', async (c) => c.json(await client.cancel(idOf(c))));
}

const filters = z.strictObject({
  state: text.optional(),
  tenant: text.optional(),
  chain: text.optional(),
  limit: z.string().regex(/^\d+$/, 'is no whole number').transform(Number).optional(),
});

function listing(c: Context): z.infer<typeof filters> {
  const parsed = filters.safeParse(c.req.query());
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the query'}: ${message}`);
  throw new HoldfastError('INVALID_INPUT', `The query is wrong: ${problems.join('; ')}.`, 'Correct it.');
}

function keyOf(inBody: string | undefined, inHeader: string | undefined): string | undefined {
  if (inBody === undefined || inHeader === undefined || inBody === inHeader) return inBody ?? inHeader;
  throw new HoldfastError('INVALID_INPUT', 'The body and Idempotency-Key name two keys.', 'Name one of them.');
}

function idOf(c: Context): string {
  const id = c.req.param('id') as string;
  if (!id.includes('\0')) return id;
  throw new HoldfastError('CHAIN_NOT_FOUND', `There is no chain ${JSON.stringify(id)}.`, 'Check the id.');
}
