import { Hono } from 'hono';
import { z } from 'zod';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { PAUSE_KINDS, type PauseSelector } from '../contracts/pauses.js';
import { readBody, text } from './json-body.js';

const selector = z.strictObject({
  tenant: text.optional(),
  chain: text.optional(),
  lane: text.optional(),
  model: text.optional(),
});

const order = selector.extend({
  by: text.min(1, 'is empty').max(200, 'is longer than 200 characters'),
  reason: text.max(10_000, 'is longer than 10,000 characters').optional(),
});

/** Pauses over HTTP. The selector of one that ends stands in the body too: a POST, because a DELETE may lose its body. */
export function pauseRoutes(client: HoldfastClient): Hono {
  return new Hono()
    .get('/', async (c) => c.json({ pauses: await client.pauses() }))
    .post('/', async (c) => {
      const { by, reason, ...named } = await readBody(c, order);
      const { pause, isNew } = await client.pause(selectorOf(named), { by, ...(reason !== undefined && { reason }) });
      return c.json(pause, isNew ? 201 : 200);
    })
    .post('/resume', async (c) => c.json(await client.resume(selectorOf(await readBody(c, selector)))));
}

function selectorOf(named: z.infer<typeof selector>): PauseSelector {
  return Object.fromEntries(PAUSE_KINDS.filter((kind) => named[kind] !== undefined).map((kind) => [kind, named[kind]]));
}
