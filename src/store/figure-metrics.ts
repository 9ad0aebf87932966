import { Counter, Gauge, type Registry } from 'prom-client';
import type { Lane } from '../contracts/lanes.js';
import type { Priority } from '../contracts/priority.js';
import type { Figures, Latency } from './figures.js';
import type { QuotaAmounts, QuotaState } from './quota-stats.js';

/** Of quotas and queues as they stand now, and rates and latencies of the last hour. */
export const FIGURE_METRICS = {
  quotaLimit: 'holdfast_quota_limit_per_minute',
  quotaLevel: 'holdfast_quota_level',
  quotaReserved: 'holdfast_quota_reserved',
  quotaRefused: 'holdfast_quota_refused_total',
  quotaClosed: 'holdfast_quota_closed_seconds',
  quotaWaiting: 'holdfast_quota_waiting_calls',
  quotaOldest: 'holdfast_quota_oldest_waiting_seconds',
  queueDepth: 'holdfast_queue_depth',
  queueOldest: 'holdfast_queue_oldest_seconds',
  chainSeconds: 'holdfast_chain_seconds',
  stepSeconds: 'holdfast_step_seconds',
  success: 'holdfast_chain_success_ratio',
  retries: 'holdfast_step_retry_ratio',
  deadLetters: 'holdfast_dead_letter_ratio',
  costPerChain: 'holdfast_cost_per_completed_chain_micro_usd',
  tenantShare: 'holdfast_tenant_token_ratio',
  approvals: 'holdfast_approval_ratio',
} as const;

/** A label has a time series for each of its values: only the tenants with most tokens get one. */
const MOST_TENANTS = 50;

/** What waits in a queue of Temporal's. */
export interface QueueLength {
  readonly group: string;
  readonly lane: Lane;
  readonly priority: Priority;
  readonly depth: number;
  readonly oldestSeconds: number;
}

function gaugesIn(registry: Registry) {
  return <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> =>
    new Gauge({ name, help, labelNames, registers: [registry] });
}

export function addQuotas(registry: Registry, quotas: readonly QuotaState[]): void {
  const gauge = gaugesIn(registry);
  const resources = ['quota_group', 'resource'] as const;
  const waiters = ['quota_group', 'priority'] as const;
  const limit = gauge(FIGURE_METRICS.quotaLimit, 'Limit of a quota group for a minute.', resources);
  const level = gauge(FIGURE_METRICS.quotaLevel, 'What could be taken of a quota group now.', resources);
  const reserved = gauge(FIGURE_METRICS.quotaReserved, 'What open calls hold of a quota group.', resources);
  const closed = gauge(FIGURE_METRICS.quotaClosed, 'How long a 429 keeps a group closed; 0 for open.', ['quota_group']);
  const waiting = gauge(FIGURE_METRICS.quotaWaiting, 'Calls that wait for their quota.', waiters);
  const oldest = gauge(FIGURE_METRICS.quotaOldest, 'How long the oldest of them has waited.', waiters);
  const refused = new Counter({
    name: FIGURE_METRICS.quotaRefused,
    help: 'Calls that the provider has refused with 429.',
    labelNames: ['quota_group'],
    registers: [registry],
  });
  for (const quota of quotas) {
    const { group: quota_group, closedUntil } = quota;
    const set = (of: typeof limit, { requests, inputTokens, outputTokens }: QuotaAmounts): void => {
      of.set({ quota_group, resource: 'requests' }, requests);
      of.set({ quota_group, resource: 'input_tokens' }, inputTokens);
      of.set({ quota_group, resource: 'output_tokens' }, outputTokens);
    };
    set(limit, quota.limits);
    set(level, quota.level);
    set(reserved, quota.reserved);
    refused.inc({ quota_group }, quota.refused);
    const closedMs = closedUntil === null ? 0 : Date.parse(closedUntil) - Date.now();
    closed.set({ quota_group }, Math.max(0, closedMs / 1_000));
    for (const { priority, calls, oldestSeconds } of quota.waiting) {
      waiting.set({ quota_group, priority }, calls);
      oldest.set({ quota_group, priority }, oldestSeconds);
    }
  }
}

export function addQueues(registry: Registry, queues: readonly QueueLength[]): void {
  const gauge = gaugesIn(registry);
  const labels = ['quota_group', 'lane', 'priority'] as const;
  const depths = gauge(FIGURE_METRICS.queueDepth, 'Model calls that wait in a queue, about.', labels);
  const oldest = gauge(FIGURE_METRICS.queueOldest, 'Age of the oldest of them; 0 without one.', labels);
  for (const { group: quota_group, lane, priority, depth, oldestSeconds } of queues) {
    depths.set({ quota_group, lane, priority }, depth);
    oldest.set({ quota_group, lane, priority }, oldestSeconds);
  }
}

export function addFigures(registry: Registry, figures: Figures): void {
  const gauge = gaugesIn(registry);
  const setLatency = <Of extends object>(of: Gauge, labels: Of, latency: Latency | null): void => {
    if (latency === null) return;
    of.set({ ...labels, quantile: '0.5' }, latency.p50Seconds);
    of.set({ ...labels, quantile: '0.95' }, latency.p95Seconds);
  };
  const success = gauge(FIGURE_METRICS.success, 'Completed, of the chains that completed or failed.', ['chain']);
  const cost = gauge(FIGURE_METRICS.costPerChain, 'Cost of a completed chain, on average.', ['chain']);
  const chains = gauge(FIGURE_METRICS.chainSeconds, 'From submission to completion.', ['chain', 'quantile']);
  for (const { chain, successRate, costPerCompletedMicroUsd, latency } of figures.chains) {
    if (successRate !== null) success.set({ chain }, successRate);
    if (costPerCompletedMicroUsd !== null) cost.set({ chain }, costPerCompletedMicroUsd);
    setLatency(chains, { chain }, latency);
  }
  const retries = gauge(FIGURE_METRICS.retries, 'Model calls that were not the first of their step call.', ['step']);
  const steps = gauge(FIGURE_METRICS.stepSeconds, 'From the first model call of a step to its success.', [
    'step',
    'quantile',
  ]);
  for (const { step, retryRate, latency } of figures.steps) {
    retries.set({ step }, retryRate);
    setLatency(steps, { step }, latency);
  }
  const dead = gauge(FIGURE_METRICS.deadLetters, 'Chains that came to a dead letter, of those that did or ended.');
  dead.set(figures.deadLetters.rate ?? 0);
  const shares = gauge(FIGURE_METRICS.tenantShare, 'Tokens of a tenant, of those of all tenants.', ['tenant']);
  const largest = [...figures.tenants].sort((a, b) => b.tokens - a.tokens).slice(0, MOST_TENANTS);
  for (const { tenant, share } of largest) shares.set({ tenant }, share);
  const approvals = gauge(FIGURE_METRICS.approvals, 'Approved, of what was approved or rejected.', ['category']);
  for (const { category, rate } of figures.approvals) approvals.set({ category }, rate);
}
