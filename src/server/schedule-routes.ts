import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { readBody } from './json-body.js';

// PostgreSQL cannot keep a NUL.
const text = z.string().regex(/^[^\0]*$/, 'has a NUL character');

const schedule = z.strictObject({
  name: text,
  chain: text,
  input: z.unknown(),
  cron: text.optional(),
  every: text.optional(),
  timeZone: text.optional(),
  from: text.optional(),
  until: text.optional(),
  tenant: text.optional(),
  priority: text.optional(),
});

const change = z.strictObject({ note: text.max(10_000, 'is longer than 10,000 characters').optional() });

/** Recurring chains, over HTTP. */
export function scheduleRoutes({ schedules }: HoldfastClient): Hono {
  const nameOf = (c: Context): string => c.req.param('name') as string;
  const noteOf = async (c: Context): Promise<string | undefined> =>
    Number(c.req.header('content-length') ?? 0) === 0 ? undefined : (await readBody(c, change)).note;
  return new Hono()
    .post('/', async (c) => {
      const made = await schedules.create(await readBody(c, schedule));
      return c.json(made, 201, { Location: `${c.req.path}/${encodeURIComponent(made.name)}` });
    })
    .get('/', async (c) => c.json({ schedules: await schedules.list() }))
    .get('/:name', async (c) => c.json(await schedules.describe(nameOf(c))))
    .post('/:name/pause', async (c) => c.json(await schedules.pause(nameOf(c), await noteOf(c))))
    .post('/:name/resume', async (c) => c.json(await schedules.resume(nameOf(c), await noteOf(c))))
    .post('/:name/trigger', async (c) => c.json(await schedules.trigger(nameOf(c))))
    .delete('/:name', async (c) => {
      await schedules.delete(nameOf(c));
      return c.body(null, 204);
    });
}
