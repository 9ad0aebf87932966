import { sql } from 'kysely';
import { Gauge, Registry } from 'prom-client';
import type { Store } from './database.js';

/** What the records say of the whole installation: to be served once, not by every worker. */
export const STORE_METRICS = {
  chains: 'holdfast_chains',
  oldestQueued: 'holdfast_oldest_queued_chain_seconds',
  openHolds: 'holdfast_open_holds',
  oldestHold: 'holdfast_oldest_open_hold_seconds',
  openAttempts: 'holdfast_open_attempts',
} as const;

const OPEN_STATES = ['queued', 'running', 'held'] as const;

/** Of the text format that {@link renderStoreMetrics} writes. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/**
 * The state of the installation in Prometheus' text format. Only what is open is looked at, by indexes that hold nothing
 * else, so that it costs the same however many chains have ended; those are counted by the workers.
 */
export async function renderStoreMetrics(store: Store): Promise<string> {
  const registry = new Registry();
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> =>
    new Gauge({ name, help, labelNames, registers: [registry] });

  const [chains, holds, attempts] = await Promise.all([openChains(store), openHolds(store), openAttempts(store)]);

  const chainGauge = gauge(STORE_METRICS.chains, 'Open chains by state.', ['state']);
  for (const state of OPEN_STATES) chainGauge.set({ state }, chains.find((row) => row.state === state)?.count ?? 0);
  gauge(
    STORE_METRICS.oldestQueued,
    'Age of the oldest queued chain, from the time when it was to start; 0 without one.',
  ).set(Math.max(0, chains.find(({ state }) => state === 'queued')?.oldest ?? 0));
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
  return registry.metrics();
}

const count = sql<number>`count(*)::int`.as('count');

function openChains({ db }: Store) {
  return db
    .selectFrom('chain')
    .select([
      'state',
      count,
      sql<number>`extract(epoch FROM now() - min(greatest(created_at, start_at)))::float8`.as('oldest'),
    ])
    .where('closed_at', 'is', null)
    .groupBy('state')
    .execute();
}

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
