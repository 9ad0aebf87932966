import { type Context, Hono } from 'hono';
import { stream } from 'hono/streaming';
import { z } from 'zod';
import type { HoldfastClient } from '../client/holdfast-client.js';
import type { RetryAllOptions, RetryAllReport } from '../client/retry-all.js';
import type { DeadLetterFilter } from '../contracts/dead-letters.js';
import { HoldfastError } from '../contracts/errors.js';
import type { StepEdit } from '../contracts/holds.js';
import { errorBodyOf } from './answer-error.js';
import { readBody, text } from './json-body.js';

const name = text.min(1, 'is empty').max(200, 'is longer than 200 characters');
const reason = text.max(10_000, 'is longer than 10,000 characters');

const note = z.strictObject({
  by: name,
  text: reason.min(1, 'is empty'),
  hold: text.optional(),
});

const cancellation = z.strictObject({ by: name, reason, hold: text.optional() });

const manyRetries = z.strictObject({
  // The client knows its fields, and refuses what is none.
  filter: z.custom<DeadLetterFilter>((value) => value !== undefined, 'is missing'),
  edit: z.custom<StepEdit>((value) => value !== undefined).optional(),
  by: name.optional(),
  reason: reason.optional(),
  atOnce: z.number().optional(),
  dryRun: z.boolean().optional(),
});

const assignment = z.strictObject({
  assignee: text.max(200, 'is longer than 200 characters').nullable(),
  hold: text.optional(),
});

/** How often the progress of a retry of many is told at most, in milliseconds. */
const TELL_MS = 1_000;
const escalation = z.strictObject({
  to: text.min(1, 'is empty').max(200, 'is longer than 200 characters'),
  by: text.min(1, 'is empty').max(200, 'is longer than 200 characters'),
  note: text.min(1, 'is empty').max(10_000, 'is longer than 10,000 characters'),
  hold: text.optional(),
});

/** Dead letters over HTTP. They are decided as all holds are: `POST /v1/chains/ID/decisions`. */
export function deadLetterRoutes(client: HoldfastClient, log: (line: string) => void): Hono {
  return new Hono()
    .get('/', async (c) => c.json(await client.deadLetters.list(...asked(c))))
    .get('/clusters', async (c) => c.json({ clusters: await client.deadLetters.clusters(...asked(c)) }))
    .post('/retry-all', async (c) => {
      const { filter, by, reason, dryRun, ...options } = await readBody(c, manyRetries);
      if (dryRun) return c.json(await client.deadLetters.planRetryAll(filter));
      if (by === undefined) {
        throw new HoldfastError('INVALID_INPUT', 'The body does not fit: by: is missing.', 'Say who decides.');
      }
      return retryAll(c, client, filter, { by, ...options, ...(reason === undefined ? {} : { note: reason }) }, log);
    })
    .post('/:id/cancellations', async (c) => {
      const { by, reason, hold } = await readBody(c, cancellation);
      return c.json(await client.deadLetters.cancel(c.req.param('id'), { by, note: reason }, hold), 201);
    })
    .get('/:id', async (c) => c.json(await client.deadLetters.show(c.req.param('id'), c.req.query('hold'))))
    .put('/:id/assignee', async (c) => {
      const { assignee, hold } = await readBody(c, assignment);
      return c.json(await client.deadLetters.assign(c.req.param('id'), assignee, hold));
    })
    .post('/:id/escalations', async (c) => {
      const { hold, ...asked } = await readBody(c, escalation);
      return c.json(await client.deadLetters.escalate(c.req.param('id'), asked, hold), 201);
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

/**
 * Retries many and tells of it line by line, `{"progress"}` and at last `{"report"}` or `{"error"}`; ends with the
 * connection. What is refused before the first one is sent is answered as everywhere.
 */
async function retryAll(
  c: Context,
  client: HoldfastClient,
  filter: DeadLetterFilter,
  options: RetryAllOptions,
  log: (line: string) => void,
): Promise<Response> {
  const gone = new AbortController();
  c.req.raw.signal.addEventListener('abort', () => gone.abort());
  let tell = (_line: object): void => {};
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let told = 0;
  let latest: RetryAllReport | undefined;
  const onProgress = (progress: RetryAllReport): void => {
    latest = progress;
    begin();
    if (Date.now() - told < TELL_MS) return;
    told = Date.now();
    tell({ progress });
  };
  const running = client.deadLetters.retryAll(filter, { ...options, signal: gone.signal, onProgress });
  running.catch(() => {});
  // Throws what was refused.
  await Promise.race([begun, running]);
  c.header('Content-Type', 'application/x-ndjson');
  return stream(c, async (lines) => {
    lines.onAbort(() => gone.abort());
    const write = async (line: object): Promise<void> => {
      await lines.write(`${JSON.stringify(line)}\n`);
    };
    tell = (line) => void write(line);
    if (latest !== undefined) tell({ progress: latest });
    await write(
      await running.then(
        (report) => ({ report }),
        (error: unknown) => errorBodyOf(error, `${c.req.method} ${c.req.path}`, log),
      ),
    );
  });
}
