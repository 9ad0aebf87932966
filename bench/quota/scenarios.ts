import { DEFAULT_QUOTA } from '../../src/contracts/quotas.js';
import type { FaultRule } from '../../src/embedded/simulated-claude/faults.js';
import type { SimulatedClaude } from '../../src/embedded/simulated-claude/server.js';
import type { LatencyOptions } from '../../src/embedded/simulated-claude/types.js';
import { BUCKETS, type Bucket, planWorkload, QUIET, totalCost, type Workload } from './workload.js';

/** Per minute. */
export type Limits = Readonly<Record<Bucket, number>>;

/** What the oracle's figures make of those of Holdfast; the numbers of the issue. */
export interface Demands {
  /** Of the oracle's goodput. */
  readonly goodput: number;
  /** The most 429s of a run of so many calls. */
  readonly refused: (calls: number) => number;
}

export interface Scenario {
  readonly title: string;
  readonly method: string;
  /** The limit that binds; the other two leave room for twenty times the load. */
  readonly binding: Bucket;
  /** On the average, when the binding limit is used to the full: under what the machine can do. */
  readonly callsPerSecond: number;
  /** Of the number of chains that is asked for. */
  readonly chainsShare?: number;
  /** The length of each answer; 33 tokens a sentence. Default: 3. */
  readonly sentences?: number;
  readonly longTenant?: string;
  readonly faults?: readonly FaultRule[];
  readonly headers?: false;
  readonly chargeRefused?: true;
  /** All limits are halved after this share of the planned time and doubled again after the other. */
  readonly halved?: readonly [number, number];
  /** Default: that of the simulated Claude, 200 ms until the first token and 4 ms for each. */
  readonly latency?: LatencyOptions;
  readonly demands?: Partial<Demands>;
}

const DEMANDS: Demands = { goodput: 0.97, refused: () => 10 };

/** Holdfast's own default; the buckets of the simulated Claude hold as much. */
export const BURST_SECONDS = DEFAULT_QUOTA.burstSeconds;
const ROOM = 20;

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  requests: {
    title: 'requests bind',
    method: '9 requests a second.',
    binding: 'requests',
    callsPerSecond: 9,
  },
  tokens: {
    title: 'tokens bind',
    method:
      'Input tokens for 8 calls a second on the average: a second call, whose document is cached, takes a fourteenth of a first one.',
    binding: 'inputTokens',
    callsPerSecond: 8,
  },
  halved: {
    title: 'limits halved and doubled',
    method:
      '9 requests a second; all limits are halved without notice after 30 % of the planned time, and doubled again after 70 %.',
    binding: 'requests',
    callsPerSecond: 9,
    halved: [0.3, 0.7],
    demands: { refused: () => 30 },
  },
  'long-answers': {
    title: 'long answers',
    method: 'Answers of some 560 tokens, which take 2.5 s; output tokens for 6 calls a second.',
    binding: 'outputTokens',
    callsPerSecond: 6,
    chainsShare: 0.6,
    sentences: 17,
  },
  faults: {
    title: 'faults',
    method:
      '9 requests a second; 3 % of the calls are answered with 529, 2 % with 500, and of 2 % the connection is reset.',
    binding: 'requests',
    callsPerSecond: 9,
    faults: [
      { kind: 'overloaded', rate: 0.03 },
      { kind: 'status', status: 500, rate: 0.02 },
      { kind: 'reset', rate: 0.02 },
    ],
    demands: { goodput: 0.95 },
  },
  'no-headers': {
    title: 'no rate-limit headers',
    method: '9 requests a second; the provider sends no rate-limit headers.',
    binding: 'requests',
    callsPerSecond: 9,
    headers: false,
    demands: { refused: (calls) => 0.01 * calls },
  },
  'refused-charged': {
    title: 'refused requests are charged',
    method: '9 requests a second; a request that is refused with 429 is charged all the same.',
    binding: 'requests',
    callsPerSecond: 9,
    chargeRefused: true,
  },
  'long-documents': {
    title: 'one tenant with 10 × longer documents',
    method: `Input tokens for 7 calls a second on the average; the documents of ${QUIET[0]} are ten times as long.`,
    binding: 'inputTokens',
    callsPerSecond: 7,
    longTenant: QUIET[0],
  },
};

/** A scenario with its numbers. */
export interface Plan extends Scenario, Pick<Scale, 'workers' | 'warmUpChains'> {
  readonly name: string;
  readonly workload: Workload;
  readonly limits: Limits;
  /** How long the work takes when the binding limit is used to the full. */
  readonly seconds: number;
  readonly demands: Demands;
}

/** How much of everything: `short` is for tests, and proves everything but speed. */
export interface Scale {
  readonly chains: number;
  /** In the middle of the run. */
  readonly urgent: number;
  /** Worker processes of each side that has any. */
  readonly workers: number;
  /** Before the run, so that no side pays for code that has never run. */
  readonly warmUpChains: number;
}

export const SCALES = {
  full: { chains: 300, urgent: 10, workers: 4, warmUpChains: 60 },
  short: { chains: 12, urgent: 2, workers: 1, warmUpChains: 0 },
} as const satisfies Readonly<Record<string, Scale>>;

export function planScenario(name: string, scenario: Scenario, scale: Scale): Plan {
  const { binding, callsPerSecond, chainsShare = 1, sentences = 3, longTenant } = scenario;
  const workload = planWorkload({
    chains: Math.round(scale.chains * chainsShare),
    urgent: scale.urgent,
    sentences,
    ...(longTenant && { longTenant }),
  });
  const work = totalCost(workload);
  const perMinute = (bucket: Bucket): number =>
    Math.round((work[bucket] / work.requests) * callsPerSecond * 60 * (bucket === binding ? 1 : ROOM));
  const limits = Object.fromEntries(BUCKETS.map((bucket) => [bucket, perMinute(bucket)])) as Limits;
  const seconds = work[binding] / (limits[binding] / 60);
  const { workers, warmUpChains } = scale;
  const demands = { ...DEMANDS, ...scenario.demands };
  return { ...scenario, name, workload, limits, seconds, demands, workers, warmUpChains };
}

export function setLimits(simulator: SimulatedClaude, { requests, inputTokens, outputTokens }: Limits): void {
  simulator.setLimits({
    requestsPerMinute: requests,
    inputTokensPerMinute: inputTokens,
    outputTokensPerMinute: outputTokens,
  });
}

/** The limits over the time of a run, in seconds: from each moment on, as a share of the full ones. */
export function ceiling({ halved, seconds }: Plan): readonly { readonly from: number; readonly share: number }[] {
  if (halved === undefined) return [{ from: 0, share: 1 }];
  const [half, double] = halved;
  return [
    { from: 0, share: 1 },
    { from: half * seconds, share: 0.5 },
    { from: double * seconds, share: 1 },
  ];
}
