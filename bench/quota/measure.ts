import { sum } from '../figures.js';
import type { Run, SeenCall } from './run.js';
import { ceiling, type Plan } from './scenarios.js';
import { NOISY, type PlannedChain, TENANTS } from './workload.js';

export interface Latency {
  readonly p50: number;
  readonly p95: number;
}

/** What came of one side's run. Times are in seconds. */
export interface Figures {
  readonly chains: number;
  readonly finished: number;
  readonly seconds: number;
  /** Of the binding limit: what the calls of finished chains took, divided by what it gave in that time. */
  readonly goodput: number;
  readonly calls: number;
  /** Answered with 429. */
  readonly refused: number;
  /** Tokens that calls took which failed or were cut off. */
  readonly wastedTokens: number;
  /** Calls that succeeded although the same step of the same chain had succeeded before. */
  readonly paidTwice: number;
  /** From the submission to the last answer; of the high class without the urgent chains. */
  readonly high: Latency;
  readonly urgent: Latency;
  /** Calls of lower classes that began while a call of an urgent chain could have begun: for each such call. */
  readonly inversion: { readonly mean: number; readonly most: number };
  /** Finished chains when the binding limit had given half of what it gave in the whole run, as a share. */
  readonly halfTime: { readonly quiet: number; readonly noisy: number };
  /** Jain's index of tokens over tenants, see {@link jainIndex}; null when there never was a backlog of all of them. */
  readonly jain: number | null;
  /** Share of the halved limit that was used from 5 to 15 s after the halving; null without one, or with a shorter one. */
  readonly afterHalving: number | null;
}

/** What the binding limit gave from the start to that moment, without the burst. */
function given(plan: Plan, seconds: number): number {
  const phases = ceiling(plan);
  const shares = phases.map(({ from, share }, at) => {
    const to = Math.min(seconds, phases[at + 1]?.from ?? seconds);
    return Math.max(0, to - from) * share;
  });
  return (sum(shares) * plan.limits[plan.binding]) / 60;
}

/** When the binding limit had given half of what it gave in so many seconds: half of the time, when it never changed. */
function halfTimeOf(plan: Plan, seconds: number): number {
  let [low, high] = [0, seconds];
  while (high - low > 0.001) {
    const middle = (low + high) / 2;
    if (given(plan, middle) < given(plan, seconds) / 2) low = middle;
    else high = middle;
  }
  return high;
}

function taken({ binding }: Plan, call: SeenCall): number {
  return binding === 'requests' ? 1 : call[binding];
}

/** The nearest rank. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** (Σx)² ÷ (n·Σx²): 1 when all have the same, 1/n when one has everything. */
export function jain(values: readonly number[]): number {
  return sum(values) ** 2 / (values.length * sum(values.map((value) => value ** 2)));
}

/** The first success of each step of each chain, by `chain call`. */
function successes(calls: readonly SeenCall[]): ReadonlyMap<string, SeenCall> {
  const first = new Map<string, SeenCall>();
  for (const call of calls) {
    const key = `${call.chain} ${call.call}`;
    if (call.state === 'succeeded' && !first.has(key)) first.set(key, call);
  }
  return first;
}

/**
 * Jain's index of the tokens that each tenant was given while all of them had a backlog: a call counts when, at its start,
 * each tenant had a chain of the same class that was submitted and whose first call had not begun. Classes go before
 * tenants, so that a tenant whose backlog is of another class can't have a claim to this call.
 */
function jainIndex(
  { submitted }: Run,
  chains: readonly PlannedChain[],
  done: ReadonlyMap<string, SeenCall>,
): number | null {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const begun = ({ name }: PlannedChain) => done.get(`${name} analyze`)?.startedAt ?? Number.POSITIVE_INFINITY;
  const waits = (tenant: string, priority: string, at: number): boolean =>
    chains.some(
      (chain) =>
        chain.tenant === tenant &&
        chain.priority === priority &&
        (submitted.get(chain.name) ?? Number.POSITIVE_INFINITY) <= at &&
        begun(chain) > at,
    );
  const tokens = new Map<string, number>(TENANTS.map((tenant) => [tenant, 0]));
  for (const call of done.values()) {
    const { tenant, priority } = byName.get(call.chain) as PlannedChain;
    if (!TENANTS.every((each) => waits(each, priority, call.startedAt))) continue;
    tokens.set(tenant, (tokens.get(tenant) as number) + call.inputTokens + call.outputTokens);
  }
  const shares = [...tokens.values()];
  return sum(shares) === 0 ? null : jain(shares);
}

function inversionOf({ workload }: Plan, run: Run, done: ReadonlyMap<string, SeenCall>): Figures['inversion'] {
  const lower = new Set(workload.chains.filter(({ priority }) => priority !== 'high').map(({ name }) => name));
  const began = run.calls.filter(({ chain }) => lower.has(chain)).map(({ startedAt }) => startedAt);
  const overtaken = workload.urgent.flatMap(({ name }) => {
    const [first, second] = [done.get(`${name} analyze`), done.get(`${name} summarize`)];
    const waits = [
      [run.submitted.get(name), first?.startedAt],
      [first?.finishedAt, second?.startedAt],
    ];
    return waits.flatMap(([from, to]) => {
      if (from == null || to == null) return [];
      return began.filter((at) => at >= from && at < to).length;
    });
  });
  return { mean: sum(overtaken) / Math.max(1, overtaken.length), most: Math.max(0, ...overtaken) };
}

const SETTLED = { from: 5, to: 15 };

function afterHalving(plan: Plan, calls: readonly SeenCall[]): number | null {
  const [, half, double] = ceiling(plan);
  if (half === undefined || double === undefined || double.from - half.from < SETTLED.to) return null;
  const [from, to] = [half.from + SETTLED.from, half.from + SETTLED.to];
  const inside = calls.filter(({ startedAt }) => startedAt >= from && startedAt < to);
  return sum(inside.map((call) => taken(plan, call))) / (given(plan, to) - given(plan, from));
}

export function figuresOf(plan: Plan, run: Run): Figures {
  const chains = [...plan.workload.chains, ...plan.workload.urgent];
  const done = successes(run.calls);
  const isFinished = ({ name }: PlannedChain) => run.completed.has(name);
  const endOf = (chain: PlannedChain): number =>
    isFinished(chain) ? (done.get(`${chain.name} summarize`)?.finishedAt as number) : Number.POSITIVE_INFINITY;
  // Of a chain that was left it is known only that it took longer than the run.
  const latencyOf = (chain: PlannedChain) =>
    Math.min(endOf(chain), run.seconds) - (run.submitted.get(chain.name) ?? run.seconds);
  const latency = (of: readonly PlannedChain[]): Latency => {
    const values = of.map(latencyOf);
    return { p50: quantile(values, 0.5), p95: quantile(values, 0.95) };
  };
  const half = halfTimeOf(plan, run.seconds);
  const halfTime = (of: readonly PlannedChain[]): number =>
    of.filter((chain) => endOf(chain) <= half).length / of.length;

  const useful = [...done.values()].filter(({ chain }) => run.completed.has(chain));
  const succeeded = run.calls.filter(({ state }) => state === 'succeeded').length;
  const wasted = run.calls.filter(({ state }) => state === 'failed' || state === 'aborted');
  const { chains: first, urgent } = plan.workload;
  return {
    chains: chains.length,
    finished: chains.filter(isFinished).length,
    seconds: run.seconds,
    goodput: sum(useful.map((call) => taken(plan, call))) / given(plan, run.seconds),
    calls: run.calls.length,
    refused: run.calls.filter(({ status }) => status === 429).length,
    wastedTokens: sum(wasted.map(({ inputTokens, outputTokens }) => inputTokens + outputTokens)),
    paidTwice: succeeded - done.size,
    high: latency(first.filter(({ priority }) => priority === 'high')),
    urgent: latency(urgent),
    inversion: inversionOf(plan, run, done),
    halfTime: {
      quiet: halfTime(first.filter(({ tenant }) => tenant !== NOISY)),
      noisy: halfTime(first.filter(({ tenant }) => tenant === NOISY)),
    },
    jain: jainIndex(run, chains, done),
    afterHalving: afterHalving(plan, [...done.values()]),
  };
}
