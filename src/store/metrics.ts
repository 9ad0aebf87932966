import { sql } from 'kysely';
import { Gauge, Registry } from 'prom-client';
import type { Store } from './database.js';
import { addFigures, addQueues, addQuotas, FIGURE_METRICS, type QueueLength } from './figure-metrics.js';
import { readFigures } from './figures.js';
import { readOpenChains } from './open-chains.js';
import { readQuotas } from './quota-stats.js';

/** What the records say of the whole installation: to be served once, not by every worker. */
export const STORE_METRICS = {
  chains: 'holdfast_chains',
  oldestQueued: 'holdfast_oldest_queued_chain_seconds',
  openHolds: 'holdfast_open_holds',
  oldestHold: 'holdfast_oldest_open_hold_seconds',
  openAttempts: 'holdfast_open_attempts',
  ...FIGURE_METRICS,
} as const;

const OPEN_STATES = ['queued', 'running', 'held'] as const;

/** Of the text format that {@link renderStoreMetrics} writes. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Rates and latencies are of the last hour. */
const WINDOW_MS = 3_600_000;

/**
 * The state of the installation in Prometheus' text format. What is open is looked at, by indexes that hold nothing else,
 * and what happened in the last hour, by indexes of time: it costs the same however many chains ended before.
 */
export async function renderStoreMetrics(store: Store, queues: readonly QueueLength[] = []): Promise<string> {
  const registry = new Registry();
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> =>
    new Gauge({ name, help, labelNames, registers: [registry] });

  const [chains, holds, attempts, quotas, figures] = await Promise.all([
    readOpenChains(store),
    openHolds(store),
    openAttempts(store),
    readQuotas(store),
    readFigures(store, new Date(Date.now() - WINDOW_MS)),
  ]);

  const chainGauge = gauge(STORE_METRICS.chains, 'Open chains by state.', ['state']);
  for (const state of OPEN_STATES) chainGauge.set({ state }, chains.find((row) => row.state === state)?.chains ?? 0);
  gauge(
    STORE_METRICS.oldestQueued,
    'Age of the oldest queued chain, from the time when it was to start; 0 without one.',
  ).set(chains.find(({ state }) => state === 'queued')?.oldestSeconds ?? 0);
  const holdGauge = gauge(STORE_METRICS.openHolds, 'Open holds by kind and reason.', ['kind', 'reason']);
  for (const { kind, reason, count } of holds) holdGauge.set({ kind, reason }, count);
  gauge(STORE_METRICS.oldestHold, 'Age of the oldest open hold, 0 without one.').set(
    Math.max(0, ...holds.map(({ oldest }) => oldest)),
  );
  const attemptGauge = gauge(STORE_METRICS.openAttempts, 'Open model calls by model and quota group.', [
    'gen_ai_request_model',
    'quota_group',
  ]);
  for (const { model, quota_group, count } of attempts) {
    attemptGauge.set({ gen_ai_request_model: model, quota_group }, count);
  }
  addQuotas(registry, quotas);
  addQueues(registry, queues);
  addFigures(registry, figures);
  return registry.metrics();
}

const count = sql<number>`count(*)::int`.as('count');

function openHolds({ db }: Store) {
  return (
    db
      .selectFrom('hold')
      .select(['kind', 'reason', count, sql<number>`extract(epoch FROM now() - min(opened_at))::float8`.as('oldest')])
      // Decided ones are taken soon after; the index is of those that are not.
      .where('taken_at', 'is', null)
      .where('decided_at', 'is', null)
      .groupBy(['kind', 'reason'])
      .execute()
  );
}

function openAttempts({ db }: Store) {
  return db
    .selectFrom('attempt')
    .select(['model', 'quota_group', count])
    .where('state', '=', 'open')
    .groupBy(['model', 'quota_group'])
    .execute();
}
