import type { PayloadCodec } from '@temporalio/common';
import { Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { readQueueDepths } from '../client/queue-depths.js';
import type { TemporalLink } from '../client/temporal-link.js';
import { HoldfastError } from '../contracts/errors.js';
import type { Store } from '../store/database.js';
import { METRICS_CONTENT_TYPE, renderStoreMetrics } from '../store/metrics.js';
import { listQuotaGroups } from '../store/quota-stats.js';
import { answerError, refuse } from './answer-error.js';
import { chainRoutes } from './chain-routes.js';
import { codecRoutes } from './codec-routes.js';
import { deadLetterRoutes } from './dead-letter-routes.js';
import { refuseForeignPages, requireLoopbackName, requireToken } from './guard.js';
import { checkHealth } from './health.js';
import { pauseRoutes } from './pause-routes.js';
import { scheduleRoutes } from './schedule-routes.js';
import { weightRoutes } from './weight-routes.js';

export interface ApiOptions {
  readonly client: HoldfastClient;
  readonly store: Store;
  readonly temporal: TemporalLink;
  readonly codec: PayloadCodec;
  /** What callers must send; without it only this machine is served. */
  readonly token?: string;
  /** Origins of Temporal UIs. */
  readonly uiOrigins: readonly string[];
  /** The largest input of a chain, in bytes. */
  readonly maxInputBytes: number;
  readonly log: (line: string) => void;
}

/** What a body may have besides its input, in bytes. */
const ENVELOPE_BYTES = 64 * 1024;

/** All routes of the HTTP API. */
export function createApi(options: ApiOptions): Hono {
  const { client, store, temporal, token, maxInputBytes, log } = options;
  const app = new Hono();
  app.onError((error, c) => answerError(c, error, log));
  app.notFound((c) => refuse(c, 'NO_SUCH_ROUTE', `There is no ${c.req.path}.`, 'See docs/http-api.md.'));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        refuse(c, 'METHOD_NOT_ALLOWED', `${c.req.path} takes no ${c.req.method}.`, `Use ${methods.join(' or ')}.`, {
          Allow: methods.join(', '),
        }),
    }),
  );
  app.get('/healthz', async (c) => {
    const health = await checkHealth(store, temporal);
    return c.json(health, health.status === 'ok' ? 200 : 503);
  });
  if (token === undefined) app.use(requireLoopbackName);
  // Counts, by reason and model: no more than `healthz` is it worth a token, which Prometheus would have to be given.
  app.get('/metrics', async (c) => {
    const metrics = await readMetrics(store, temporal).catch((error: unknown) => {
      throw store.explain(error);
    });
    return c.text(metrics, 200, { 'Content-Type': METRICS_CONTENT_TYPE });
  });
  app.use(requireJson);
  app.use(
    bodyLimit({
      maxSize: maxInputBytes + ENVELOPE_BYTES,
      onError: () => {
        throw new HoldfastError(
          'INPUT_TOO_LARGE',
          `The body is larger than the ${maxInputBytes} bytes of an input and ${ENVELOPE_BYTES} around it.`,
          'Split the input, or raise HOLDFAST_MAX_INPUT_BYTES.',
        );
      },
    }),
  );
  app.route('/codec', codecRoutes(options));
  app.use('/v1/*', requireToken(token), refuseForeignPages);
  app.route('/v1/chains', chainRoutes(client));
  app.route('/v1/dead-letters', deadLetterRoutes(client, log));
  app.route('/v1/pauses', pauseRoutes(client));
  app.get('/v1/stats', async (c) => {
    const since = c.req.query('since');
    return c.json(await client.stats(since === undefined ? {} : { since }));
  });
  app.route('/v1/schedules', scheduleRoutes(client));
  app.route('/v1/weights', weightRoutes(client));
  return app;
}

/** The store's figures, and those of Temporal's queues while it can be reached. */
async function readMetrics(store: Store, temporal: TemporalLink): Promise<string> {
  const groups = await listQuotaGroups(store);
  const queues = await temporal.use((client) => readQueueDepths(client, groups)).catch(() => []);
  return renderStoreMetrics(store, queues);
}

/** A body is JSON and says so: what a form in a web page can send without being asked does not pass for it. */
const requireJson: MiddlewareHandler = async (c, next) => {
  const type = c.req.header('content-type');
  const hasBody = Number(c.req.header('content-length') ?? 0) > 0 || c.req.header('transfer-encoding') !== undefined;
  const isJson = /^application\/json *(;|$)/i.test(type ?? '');
  if (isJson || !hasBody) return next();
  const sent = type === undefined ? 'The body has no content type' : `The body is ${type}`;
  return refuse(c, 'NOT_JSON', `${sent}.`, 'Send JSON, with `Content-Type: application/json`.');
};
