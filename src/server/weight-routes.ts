import { Hono } from 'hono';
import { z } from 'zod';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { readBody, text } from './json-body.js';

const setting = z.strictObject({ tenant: text, weight: z.number() });

/** Weights of tenants over HTTP. */
export function weightRoutes(client: HoldfastClient): Hono {
  return new Hono()
    .get('/', async (c) => c.json({ weights: await client.weights() }))
    .put('/', async (c) => {
      const { tenant, weight } = await readBody(c, setting);
      return c.json(await client.setWeight(tenant, weight));
    });
}
