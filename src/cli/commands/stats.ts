import Table from 'cli-table3';
import type { Command } from 'commander';
import type { Stats } from '../../client/stats.js';
import type { Latency } from '../../store/figures.js';
import { createOutput, formatCost } from '../output.js';
import { withClient } from '../with-client.js';

/** Adds `stats`. */
export function addStatsCommand(program: Command): void {
  program
    .command('stats')
    .description('show quotas, queues, latencies, rates and costs')
    .option('--since <when>', 'count from here on: an ISO time, or how long ago such as 10m (default: 1h)')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast stats --since 24h --json')
    .action(stats);
}

async function stats(flags: { readonly since?: string; readonly json?: boolean }, command: Command): Promise<void> {
  const { since, json } = flags;
  const result = await withClient(command, (client) => client.stats(since === undefined ? {} : { since }));
  createOutput(json === true).result(result, format(result));
}

function format(stats: Stats): string {
  const { open, deadLetters } = stats;
  return [
    `Since ${stats.since}`,
    ...table('open chains', ['chains', 'oldest'], open, ({ state, chains, oldestSeconds }) => [
      state,
      chains,
      seconds(oldestSeconds),
    ]),
    ...table('quota', ['limit a minute', 'level', 'reserved', 'used', '429s', 'waiting'], stats.quotas, quotaRow),
    ...(stats.quotas.length === 0 ? [] : ['Quotas are requests / input tokens / output tokens.']),
    ...(stats.queues === null
      ? ['Temporal cannot be reached: its queues are not shown.']
      : table(
          'queue, class',
          ['waiting', 'oldest'],
          stats.queues.filter(({ depth }) => depth > 0),
          ({ group, lane, priority, depth, oldestSeconds }) => [
            `${group} ${lane}, ${priority}`,
            depth,
            seconds(oldestSeconds),
          ],
        )),
    ...table('chain', CHAIN_HEAD, stats.chains, (row) => [
      row.chain,
      row.completed,
      row.failed,
      row.cancelled,
      percent(row.successRate),
      ...latency(row.latency),
      row.completed === 0 ? '' : formatCost(row.costPerCompletedMicroUsd),
    ]),
    ...table('step', ['calls', 'attempts', 'retried', 'p50', 'p95'], stats.steps, (row) => [
      row.step,
      row.calls,
      row.attempts,
      percent(row.retryRate),
      ...latency(row.latency),
    ]),
    ...table('tenant', ['tokens', 'share'], stats.tenants, ({ tenant, tokens, share }) => [
      tenant,
      tokens,
      percent(share),
    ]),
    ...table('approval', ['approved', 'rejected', 'rate'], stats.approvals, (row) => [
      row.category,
      row.approved,
      row.rejected,
      percent(row.rate),
    ]),
    `Retried: ${percent(stats.retryRate) || 'no calls'}. Dead letters: ${deadLetters.opened}, ${percent(deadLetters.rate) || 'no chains'} of the chains.`,
  ].join('\n');
}

const CHAIN_HEAD = ['completed', 'failed', 'cancelled', 'success', 'p50', 'p95', 'cost each'];

type Cell = string | number;

/** Nothing at all for no rows. */
function table<Row>(
  name: string,
  columns: readonly string[],
  rows: readonly Row[],
  cells: (row: Row) => Cell[],
): string[] {
  if (rows.length === 0) return [];
  const shown = new Table({
    head: [name, ...columns],
    colAligns: ['left', ...columns.map(() => 'right' as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) shown.push(cells(row));
  return [shown.toString()];
}

function quotaRow({ group, limits, level, reserved, used, waiting, closedUntil }: Stats['quotas'][number]): Cell[] {
  // Requests, input tokens, output tokens.
  const all = (amounts: typeof limits): string =>
    [amounts.requests, amounts.inputTokens, amounts.outputTokens].map((amount) => Math.round(amount)).join(' / ');
  const waiters = waiting.map(
    ({ priority, calls, oldestSeconds }) => `${calls} ${priority}, ${seconds(oldestSeconds)}`,
  );
  const refused = closedUntil === null ? used.refused : `${used.refused}, closed until ${closedUntil}`;
  return [group, all(limits), all(level), all(reserved), all(used), refused, waiters.join('; ') || 0];
}

const percent = (share: number | null): string => (share === null ? '' : `${(share * 100).toFixed(1)} %`);
const seconds = (count: number): string => `${count.toFixed(1)} s`;
const latency = (of: Latency | null): Cell[] =>
  of === null ? ['', ''] : [seconds(of.p50Seconds), seconds(of.p95Seconds)];
