import { setTimeout as delay } from 'node:timers/promises';
import { type SimulatedClaude, startSimulatedClaude } from '../../src/embedded/simulated-claude/server.js';
import type { CallRecord } from '../../src/embedded/simulated-claude/types.js';
import { type Call, callOf } from './prompts.js';
import { BURST_SECONDS, ceiling, type Plan, setLimits } from './scenarios.js';
import type { Side } from './side.js';
import { type PlannedChain, planWorkload } from './workload.js';

/** One call as the simulated Claude saw it. Times are seconds since the start of the run. */
export interface SeenCall {
  readonly chain: string;
  readonly call: Call;
  readonly state: CallRecord['state'];
  readonly status: number | null;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** What one side did with a workload. Times are seconds since its start. */
export interface Run {
  /** Oldest first. */
  readonly calls: readonly SeenCall[];
  /** When each chain was submitted. */
  readonly submitted: ReadonlyMap<string, number>;
  /** Chains that have completed, as whoever submitted them was told. */
  readonly completed: ReadonlySet<string>;
  /** What ended the others before the time was over. */
  readonly failures: readonly string[];
  readonly timedOut: boolean;
  /** Until the last answer; until the end of the run when chains were left. */
  readonly seconds: number;
}

/** What else happens during a run, such as a kill. The run lasts until it has ended. */
export type During<Kind extends Side> = (run: {
  readonly side: Kind;
  readonly simulator: SimulatedClaude;
  readonly startedMs: number;
  readonly signal: AbortSignal;
}) => Promise<void>;

const NO_LIMITS = { requests: 1e9, inputTokens: 1e12, outputTokens: 1e12 };

/** A side that takes longer is stopped. */
const limitMs = ({ seconds }: Plan): number => (3 * seconds + 30) * 1_000;

/**
 * Runs a plan's workload on one side, on a simulated Claude of its own within this process: the same dice, an empty log
 * and cache, full buckets.
 */
export async function runSide<Kind extends Side>(
  plan: Plan,
  start: (plan: Plan, simulator: SimulatedClaude) => Promise<Kind>,
  during: During<Kind> = async () => {},
): Promise<Run> {
  const simulator = await startSimulatedClaude({
    logSize: 1_000_000,
    limits: { burstSeconds: BURST_SECONDS, headers: false },
    ...(plan.latency && { latency: plan.latency }),
  });
  try {
    setLimits(simulator, NO_LIMITS);
    const side = await start(plan, simulator);
    try {
      if (plan.warmUpChains > 0) await warmUp(side, plan);
      // Down from no limits, each bucket is cut to its capacity: full.
      simulator.setLimits({ headers: plan.headers ?? true, chargeRefused: plan.chargeRefused ?? false });
      setLimits(simulator, plan.limits);
      simulator.setFaults(plan.faults ?? []);
      simulator.clearCache();
      simulator.clearCalls();
      return await measure(plan, side, simulator, during);
    } finally {
      await side.stop();
    }
  } finally {
    await simulator.stop();
  }
}

async function warmUp(side: Side, { warmUpChains, sentences = 3, longTenant }: Plan): Promise<void> {
  const shape = { chains: warmUpChains, urgent: 0, sentences };
  const { chains } = planWorkload({ ...shape, ...(longTenant && { longTenant }) });
  await Promise.all(chains.map((chain) => side.run({ ...chain, name: `w${chain.name}` })));
  // What a side keeps of the limits by itself has filled up again.
  await delay(BURST_SECONDS * 1_000);
}

async function measure<Kind extends Side>(
  plan: Plan,
  side: Kind,
  simulator: SimulatedClaude,
  during: During<Kind>,
): Promise<Run> {
  const submitted = new Map<string, number>();
  const completed = new Set<string>();
  const failures: string[] = [];
  const over = new AbortController();
  const startedMs = Date.now();
  const secondsAt = (ms: number) => (ms - startedMs) / 1_000;
  const until = (seconds: number) => delay(seconds * 1_000, undefined, { signal: over.signal });

  const runChain = async (chain: PlannedChain): Promise<void> => {
    submitted.set(chain.name, secondsAt(Date.now()));
    try {
      await side.run(chain);
      completed.add(chain.name);
    } catch (error) {
      if (!over.signal.aborted) failures.push(`${chain.name}: ${String(error)}`);
    }
  };
  const urgent = async (): Promise<void> => {
    await until(plan.seconds / 2);
    await Promise.all(plan.workload.urgent.map(runChain));
  };
  const changes = ceiling(plan)
    .slice(1)
    .map(async ({ from, share }) => {
      await until(from);
      const { requests, inputTokens, outputTokens } = plan.limits;
      setLimits(simulator, {
        requests: requests * share,
        inputTokens: inputTokens * share,
        outputTokens: outputTokens * share,
      });
    });
  const work = Promise.all([
    ...plan.workload.chains.map(runChain),
    urgent(),
    ...changes,
    during({ side, simulator, startedMs, signal: over.signal }),
  ]);
  const timedOut = await Promise.race([
    work.then(() => false),
    delay(limitMs(plan), true, { signal: over.signal }),
  ]).finally(() => {
    work.catch(() => {});
    over.abort();
  });

  const calls = simulator.calls().flatMap((record) => seenCall(record, secondsAt));
  const last = Math.max(
    0,
    ...calls.flatMap(({ state, finishedAt }) => (state === 'succeeded' ? (finishedAt ?? []) : [])),
  );
  const all = plan.workload.chains.length + plan.workload.urgent.length;
  return {
    calls,
    submitted,
    completed: new Set(completed),
    failures: [...failures],
    timedOut,
    seconds: completed.size === all ? last : secondsAt(Date.now()),
  };
}

function seenCall(record: CallRecord, secondsAt: (ms: number) => number): SeenCall[] {
  const call = callOf(record.lastUserText);
  if (call === null) return [];
  const { usage, state, status, startedAt, finishedAt } = record;
  return [
    {
      ...call,
      state,
      status,
      startedAt: secondsAt(Date.parse(startedAt)),
      finishedAt: finishedAt === null ? null : secondsAt(Date.parse(finishedAt)),
      inputTokens: usage.input_tokens + usage.cache_creation_input_tokens,
      outputTokens: usage.output_tokens,
    },
  ];
}
