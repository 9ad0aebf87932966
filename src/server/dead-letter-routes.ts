import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { readBody, text } from './json-body.js';

const note = z.strictObject({
  by: text.min(1, 'is empty').max(200, 'is longer than 200 characters'),
  text: text.min(1, 'is empty').max(10_000, 'is longer than 10,000 characters'),
  hold: text.optional(),
});

const assignment = z.strictObject({
  assignee: text.max(200, 'is longer than 200 characters').nullable(),
  hold: text.optional(),
});

/** Dead letters over HTTP. They are decided as all holds are: `POST /v1/chains/ID/decisions`. */
export function deadLetterRoutes(client: HoldfastClient): Hono {
  return new Hono()
    .get('/', async (c) => c.json(await client.deadLetters.list(...asked(c))))
    .get('/clusters', async (c) => c.json({ clusters: await client.deadLetters.clusters(...asked(c)) }))
    .get('/:id', async (c) => c.json(await client.deadLetters.show(c.req.param('id'), c.req.query('hold'))))
    .put('/:id/assignee', async (c) => {
      const { assignee, hold } = await readBody(c, assignment);
      return c.json(await client.deadLetters.assign(c.req.param('id'), assignee, hold));
    })
    .post('/:id/notes', async (c) => {
      const { hold, ...written } = await readBody(c, note);
      return c.json({ notes: await client.deadLetters.annotate(c.req.param('id'), written, hold) }, 201);
    });
}

/** The filter and the page; the client knows what there is to filter by. */
function asked(c: Context): [Record<string, string>, { readonly limit?: number }] {
  const { limit, ...filter } = c.req.query();
  return [filter, limit === undefined ? {} : { limit: Number(limit) }];
}
