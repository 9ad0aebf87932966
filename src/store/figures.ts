import { sql } from 'kysely';
import type { Store } from './database.js';

/** Seconds within which half of them, and 95 of 100, were done. */
export interface Latency {
  readonly p50Seconds: number;
  readonly p95Seconds: number;
}

/** Chains of a type that ended in the window. */
export interface ChainFigures {
  readonly chain: string;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Completed of those that completed or failed; null without any. */
  readonly successRate: number | null;
  /** Of completed ones, from their submission or the time for which they were submitted; null without any. */
  readonly latency: Latency | null;
  /** Micro-dollars of all model calls of a completed chain, on average; null without any that has a price. */
  readonly costPerCompletedMicroUsd: number | null;
}

/** Calls of a step that began in the window. */
export interface StepFigures {
  readonly step: string;
  /** Step calls, and the model calls that were made for them. */
  readonly calls: number;
  readonly attempts: number;
  /** Share of the model calls that were not the first of their step call. */
  readonly retryRate: number;
  /** From the first model call to the success; null without any. */
  readonly latency: Latency | null;
}

export interface TenantFigures {
  readonly tenant: string;
  /** Input and output tokens of its model calls that began in the window, cached ones included. */
  readonly tokens: number;
  /** Of the tokens of all tenants. */
  readonly share: number;
}

/** What the model calls that began in the window have used of a quota group. Cache reads do not count. */
export interface QuotaUsed {
  readonly group: string;
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Those that were refused with 429. */
  readonly refused: number;
}

export interface ApprovalFigures {
  readonly category: string;
  readonly approved: number;
  readonly rejected: number;
  readonly rate: number;
}

export interface Figures {
  readonly chains: readonly ChainFigures[];
  readonly steps: readonly StepFigures[];
  readonly tenants: readonly TenantFigures[];
  readonly used: readonly QuotaUsed[];
  readonly approvals: readonly ApprovalFigures[];
  /** Over all steps; null without model calls. */
  readonly retryRate: number | null;
  readonly deadLetters: {
    /** Dead letters that were opened in the window. */
    readonly opened: number;
    /** Of the chains that ended or came to a dead letter, the share that came to one; null without any. */
    readonly rate: number | null;
  };
}

/** The figures of what happened since. Reads the attempts, ends and holds of that time, by indexes, and no older ones. */
export async function readFigures(store: Store, since: Date): Promise<Figures> {
  const [chains, steps, used, approvals, dead] = await Promise.all([
    chainFigures(store, since),
    stepFigures(store, since),
    tokensUsed(store, since),
    approvalFigures(store, since),
    deadLetterFigures(store, since),
  ]);
  const calls = steps.reduce((sum, step) => sum + step.calls, 0);
  const attempts = steps.reduce((sum, step) => sum + step.attempts, 0);
  return {
    chains,
    steps,
    approvals,
    ...used,
    retryRate: attempts === 0 ? null : (attempts - calls) / attempts,
    deadLetters: { opened: dead.opened, rate: dead.of === 0 ? null : dead.chains / dead.of },
  };
}

const latencyOf = (p50: number | null, p95: number | null): Latency | null =>
  p50 === null || p95 === null ? null : { p50Seconds: p50, p95Seconds: p95 };

async function chainFigures({ db }: Store, since: Date): Promise<ChainFigures[]> {
  const { rows } = await sql<{
    type: string;
    completed: number;
    failed: number;
    cancelled: number;
    p50: number | null;
    p95: number | null;
    cost: number | null;
  }>`
    WITH ended AS (
      SELECT id, type, state, first_run_id,
        extract(epoch FROM closed_at - greatest(created_at, start_at))::float8 AS seconds
      FROM chain WHERE closed_at >= ${since}
    ), cost AS (
      SELECT ended.id, sum(cost_micro_usd) AS micro_usd FROM ended JOIN attempt
        ON attempt.chain_id = ended.id AND attempt.first_run_id = ended.first_run_id AND attempt.kind <> 'reuse'
      WHERE ended.state = 'completed' GROUP BY ended.id
    )
    SELECT type,
      count(*) FILTER (WHERE state = 'completed') AS completed,
      count(*) FILTER (WHERE state = 'failed') AS failed,
      count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
      percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE state = 'completed') AS p50,
      percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE state = 'completed') AS p95,
      avg(cost.micro_usd)::float8 AS cost
    FROM ended LEFT JOIN cost USING (id) GROUP BY type ORDER BY type`.execute(db);
  return rows.map(({ type, completed, failed, cancelled, p50, p95, cost }) => ({
    chain: type,
    completed,
    failed,
    cancelled,
    successRate: completed + failed === 0 ? null : completed / (completed + failed),
    latency: latencyOf(p50, p95),
    costPerCompletedMicroUsd: cost === null ? null : Math.round(cost),
  }));
}

async function stepFigures({ db }: Store, since: Date): Promise<StepFigures[]> {
  const { rows } = await sql<{
    step: string;
    calls: number;
    attempts: number;
    p50: number | null;
    p95: number | null;
  }>`
    WITH step_call AS (
      SELECT step, count(*) AS attempts,
        extract(epoch FROM max(finished_at) FILTER (WHERE state = 'succeeded') - min(started_at))::float8 AS seconds
      FROM attempt WHERE started_at >= ${since} AND kind <> 'reuse' GROUP BY chain_id, first_run_id, step, call
    )
    SELECT step, count(*) AS calls, sum(attempts)::bigint AS attempts,
      percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50,
      percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95
    FROM step_call GROUP BY step ORDER BY step`.execute(db);
  return rows.map(({ step, calls, attempts, p50, p95 }) => ({
    step,
    calls,
    attempts,
    retryRate: (attempts - calls) / attempts,
    latency: latencyOf(p50, p95),
  }));
}

async function tokensUsed({ db }: Store, since: Date): Promise<Pick<Figures, 'tenants' | 'used'>> {
  const { rows } = await sql<{
    tenant: string | null;
    quota_group: string | null;
    requests: number;
    refused: number;
    input: number;
    output: number;
    cached: number;
  }>`
    SELECT tenant, quota_group, count(*) AS requests, count(*) FILTER (WHERE reason = 'rate_limit') AS refused,
      sum(input_tokens + cache_write_5m_tokens + cache_write_1h_tokens)::bigint AS input,
      sum(output_tokens)::bigint AS output, sum(cache_read_tokens)::bigint AS cached
    FROM attempt WHERE started_at >= ${since} AND kind <> 'reuse'
    GROUP BY GROUPING SETS (tenant, quota_group) ORDER BY tenant, quota_group`.execute(db);
  const tenants = rows.flatMap(({ tenant, input, output, cached }) =>
    tenant === null ? [] : [{ tenant, tokens: input + output + cached }],
  );
  const all = tenants.reduce((sum, { tokens }) => sum + tokens, 0);
  return {
    tenants: tenants.map((row) => ({ ...row, share: all === 0 ? 0 : row.tokens / all })),
    used: rows.flatMap(({ quota_group: group, requests, refused, input: inputTokens, output: outputTokens }) =>
      group === null ? [] : [{ group, requests, inputTokens, outputTokens, refused }],
    ),
  };
}

async function approvalFigures({ db }: Store, since: Date): Promise<ApprovalFigures[]> {
  const { rows } = await sql<{ step: string; approved: number; rejected: number }>`
    SELECT step, count(*) FILTER (WHERE verdict = 'approve') AS approved,
      count(*) FILTER (WHERE verdict = 'reject') AS rejected
    FROM hold WHERE decided_at >= ${since} AND kind = 'approval' AND verdict IN ('approve', 'reject')
    GROUP BY step ORDER BY step`.execute(db);
  return rows.map(({ step, approved, rejected }) => ({
    category: step,
    approved,
    rejected,
    rate: approved / (approved + rejected),
  }));
}

async function deadLetterFigures({ db }: Store, since: Date) {
  const { rows } = await sql<{ opened: number; chains: number; of: number }>`
    WITH dead AS (SELECT chain_id FROM hold WHERE opened_at >= ${since} AND kind = 'failure')
    SELECT (SELECT count(*) FROM dead) AS opened, (SELECT count(DISTINCT chain_id) FROM dead) AS chains,
      (SELECT count(*) FROM (SELECT chain_id FROM dead UNION SELECT id FROM chain WHERE closed_at >= ${since}) AS all_of_them)
        AS of`.execute(db);
  return rows[0]!;
}
