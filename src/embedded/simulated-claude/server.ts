import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HoldfastError } from '../../contracts/errors.js';
import { ApiError } from './api-error.js';
import { CallLog } from './call-log.js';
import { CONTROL_PREFIX, checkLatency, controlRoute, readBuckets, withLatency } from './control-route.js';
import { authenticate, type Exchange, openExchange, sendError, sendJson } from './exchange.js';
import { type FaultRule, Faults } from './faults.js';
import { countTokensRoute, messagesRoute, type SimulatorState } from './messages-route.js';
import { modelInfo, SIMULATED_MODELS } from './models.js';
import { PromptCache } from './prompt-cache.js';
import { checkLimits, type GroupReading, type LimitOptions, RateLimits } from './rate-limits.js';
import { type CallRecord, DEFAULT_LATENCY, type LatencyOptions, type SimulatedClaudeOptions } from './types.js';

/** 32 MB, the request size limit that the real API documents. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
const LOG_SIZE = 20_000;

/** A running simulator. */
export interface SimulatedClaude {
  /** The base URL to give to a client. */
  readonly url: string;
  readonly port: number;
  /** Cuts the calls that are open and frees the port. Safe to call twice. */
  stop(): Promise<void>;
  /** The calls so far, oldest first. */
  calls(): CallRecord[];
  clearCalls(): void;
  /** The first call, past or future, for which `predicate` holds. Rejects with the reason of `signal`. */
  waitForCall(predicate: (call: CallRecord) => boolean, signal?: AbortSignal): Promise<CallRecord>;
  /** Replaces all fault rules. Throws a TypeError for one that makes no sense. */
  setFaults(faults: readonly FaultRule[]): void;
  /** Changes the limits that are named, live: levels stay, cut to the new capacity. */
  setLimits(limits: LimitOptions): void;
  /** Changes what is named, for calls that arrive from now on. */
  setLatency(latency: LatencyOptions): void;
  clearCache(): void;
  /** The buckets as they stand, by model class. */
  buckets(): Record<string, GroupReading>;
}

function modelsPage(state: SimulatorState, exchange: Exchange): unknown {
  const parameters = exchange.url.searchParams;
  const all = state.models.map(modelInfo);
  const after = all.findIndex((model) => model.id === parameters.get('after_id')) + 1;
  const before = all.findIndex((model) => model.id === parameters.get('before_id'));
  const range = all.slice(after, before === -1 ? all.length : before);
  const data = range.slice(0, Number(parameters.get('limit') ?? 20));
  const has_more = data.length < range.length;
  return { data, has_more, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}

async function route(state: SimulatorState, exchange: Exchange): Promise<void> {
  const { pathname } = exchange.url;
  const { method } = exchange.request;
  if (pathname.startsWith(`${CONTROL_PREFIX}/`)) return controlRoute(state, exchange);
  if (method === 'POST' && pathname === '/v1/messages') return messagesRoute(state, exchange);
  if (method === 'POST' && pathname === '/v1/messages/count_tokens') {
    return sendJson(exchange, 200, await countTokensRoute(state, exchange));
  }
  if (method === 'GET' && (pathname === '/v1/models' || pathname.startsWith('/v1/models/'))) {
    authenticate(exchange.request, state.apiKeys);
    if (pathname === '/v1/models') return sendJson(exchange, 200, modelsPage(state, exchange));
    const id = decodeURIComponent(pathname.slice('/v1/models/'.length));
    const model = state.models.find((known) => known.id === id);
    if (model === undefined) throw new ApiError(404, `model: ${id}`);
    return sendJson(exchange, 200, modelInfo(model));
  }
  throw new ApiError(404, 'Not Found');
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const inUse = error.code === 'EADDRINUSE';
      reject(
        new HoldfastError(
          inUse ? 'PORT_IN_USE' : 'PART_FAILED',
          inUse
            ? `The simulated Claude cannot listen on ${host}:${port}: the port is in use.`
            : `The simulated Claude cannot listen on ${host}:${port}: ${error.message}.`,
          inUse
            ? 'Stop the program that uses the port, or choose another one (0 lets the system choose).'
            : 'Choose another address or port.',
          { cause: error },
        ),
      );
    });
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

/**
 * Starts the simulated Claude: an HTTP server that speaks the Messages API (create, stream, count_tokens, models) with
 * usage, prompt cache, rate limits, latency and faults, and answers from the prompt by extraction.
 * Throws {@link HoldfastError} `PORT_IN_USE`.
 */
export async function startSimulatedClaude(options: SimulatedClaudeOptions = {}): Promise<SimulatedClaude> {
  const host = options.host ?? '127.0.0.1';
  const state: SimulatorState = {
    models: options.models ?? SIMULATED_MODELS,
    apiKeys: options.apiKeys,
    maxBodyBytes: options.maxBodyBytes ?? MAX_BODY_BYTES,
    log: new CallLog(options.logSize ?? LOG_SIZE, options.logFile),
    cache: new PromptCache(),
    limits: new RateLimits(checkLimits(options.limits ?? {})),
    faults: new Faults(options.faults ?? [], options.seed ?? 1),
    clock: options.clock ?? { now: Date.now },
    latency: withLatency(DEFAULT_LATENCY, checkLatency(options.latency ?? {})),
  };
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const exchange = openExchange(request, response);
    route(state, exchange).catch((error: unknown) => {
      sendError(exchange, error instanceof ApiError ? error : new ApiError(500, String(error)));
    });
  });
  // Node's default of five minutes would cut the calls of a slow simulated model.
  server.requestTimeout = 0;
  const port = await listen(server, options.port ?? 0, host).catch((error: unknown) => {
    state.log.close();
    throw error;
  });

  let stopped: Promise<void> | null = null;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    calls: () => state.log.list(),
    clearCalls: () => state.log.clear(),
    waitForCall: (predicate, signal) => state.log.waitFor(predicate, signal),
    setFaults: (faults) => state.faults.set(faults),
    setLimits: (limits) => state.limits.change(checkLimits(limits), state.clock.now()),
    setLatency: (latency) => {
      state.latency = withLatency(state.latency, checkLatency(latency));
    },
    clearCache: () => state.cache.clear(),
    buckets: () => readBuckets(state),
    stop: () => {
      stopped ??= new Promise((resolve) => {
        server.close(() => {
          // Calls that were cut get their end into the log on a later turn of the event loop.
          setImmediate(() => {
            state.log.close();
            resolve();
          });
        });
        server.closeAllConnections();
      });
      return stopped;
    },
  };
}
