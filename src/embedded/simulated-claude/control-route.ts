import { totalUsage } from './call-log.js';
import { type Exchange, parseJson, readBody, sendJson } from './exchange.js';
import { checkFaultRules } from './faults.js';
import type { SimulatorState } from './messages-route.js';
import { checkLimits, type GroupReading } from './rate-limits.js';
import { type CallRecord, DEFAULT_LATENCY, type Latency, type LatencyOptions } from './types.js';

/** Where the control API lives. */
export const CONTROL_PREFIX = '/__sim';

const DEFAULT_WAIT_MS = 30_000;

export function readBuckets(state: SimulatorState): Record<string, GroupReading> {
  const groups = new Set(state.models.map((model) => model.modelClass));
  return Object.fromEntries([...groups].map((group) => [group, state.limits.read(group, state.clock.now())]));
}

/** Throws a TypeError that names what is wrong with a latency that came from outside. */
export function checkLatency(value: unknown): LatencyOptions {
  if (typeof value !== 'object' || value === null) throw new TypeError('latency: expected an object');
  for (const [name, ms] of Object.entries(value)) {
    if (!Object.hasOwn(DEFAULT_LATENCY, name)) throw new TypeError(`latency.${name}: no such setting`);
    if (typeof ms !== 'number' || !(ms >= 0)) throw new TypeError(`latency.${name}: expected milliseconds from 0`);
  }
  return value;
}

export function withLatency(latency: Latency, change: LatencyOptions): Latency {
  return { ...latency, ...change };
}

function selector(parameters: URLSearchParams): (call: CallRecord) => boolean {
  const since = Number(parameters.get('since') ?? 0);
  const state = parameters.get('wait') ?? parameters.get('state');
  const model = parameters.get('model');
  const contains = parameters.get('contains');
  return (call) =>
    call.seq > since &&
    (state === null || call.state === state) &&
    (model === null || call.model === model) &&
    (contains === null || call.lastUserText.includes(contains));
}

async function calls(state: SimulatorState, exchange: Exchange): Promise<unknown> {
  const parameters = exchange.url.searchParams;
  const matches = selector(parameters);
  const found = () => state.log.list().filter(matches);
  let timedOut = false;
  if (parameters.has('wait')) {
    const count = Number(parameters.get('count') ?? 1);
    const timeoutMs = Number(parameters.get('timeoutMs') ?? DEFAULT_WAIT_MS);
    const over = AbortSignal.any([AbortSignal.timeout(timeoutMs), exchange.gone]);
    if (found().length < count) {
      await state.log
        .waitFor((call) => matches(call) && found().length >= count, over)
        .catch(() => {
          timedOut = true;
        });
    }
  }
  const list = found();
  const limit = Number(parameters.get('limit') ?? list.length);
  return { calls: list.slice(0, limit), lastSeq: state.log.lastSeq, timedOut, succeeded: totalUsage(list) };
}

/**
 * The control API, for tests and demos in other processes:
 *
 * | request | does |
 * |---|---|
 * | `GET /__sim/health` | `{ ok: true }` |
 * | `GET /__sim/calls?since&state&model&contains&limit` | the log: `{ calls, lastSeq, timedOut, succeeded }` |
 * | `GET /__sim/calls?wait=STATE&count&timeoutMs&…` | the same, as soon as `count` (1) calls are in that state |
 * | `DELETE /__sim/calls` | empties the log, except for open calls |
 * | `GET`, `PUT`, `DELETE /__sim/faults` | the list of fault rules |
 * | `GET`, `PUT /__sim/limits` | rate limits; a PUT changes what it names |
 * | `GET`, `PUT /__sim/latency` | latency; a PUT changes what it names |
 * | `GET /__sim/buckets` | levels by model class |
 * | `DELETE /__sim/cache` | empties the prompt cache |
 *
 * A body that makes no sense is answered with 400 and `{ error }`.
 */
export async function controlRoute(state: SimulatorState, exchange: Exchange): Promise<void> {
  const what = exchange.url.pathname.slice(CONTROL_PREFIX.length + 1);
  const route = `${exchange.request.method} ${what}`;
  const body = async () => parseJson(await readBody(exchange.request, state.maxBodyBytes));
  const answer = async (): Promise<unknown> => {
    switch (route) {
      case 'GET health':
        return { ok: true };
      case 'GET calls':
        return calls(state, exchange);
      case 'DELETE calls':
        state.log.clear();
        return { ok: true };
      case 'PUT faults':
        state.faults.set(checkFaultRules(await body()));
        return state.faults.list();
      case 'GET faults':
        return state.faults.list();
      case 'DELETE faults':
        state.faults.set([]);
        return [];
      case 'PUT limits':
        state.limits.change(checkLimits(await body()), state.clock.now());
        return state.limits.options;
      case 'GET limits':
        return state.limits.options;
      case 'PUT latency':
        state.latency = withLatency(state.latency, checkLatency(await body()));
        return state.latency;
      case 'GET latency':
        return state.latency;
      case 'GET buckets':
        return readBuckets(state);
      case 'DELETE cache':
        state.cache.clear();
        return { ok: true };
      default:
        return undefined;
    }
  };
  try {
    const result = await answer();
    if (result === undefined) sendJson(exchange, 404, { error: `no such control: ${route}` });
    else sendJson(exchange, 200, result);
  } catch (error) {
    sendJson(exchange, 400, { error: (error as Error).message });
  }
}
