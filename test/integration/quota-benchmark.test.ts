import { describe, expect, it } from 'vitest';
import { sum } from '../../bench/figures.js';
import { readArguments } from '../../bench/quota/arguments.js';
import { judge } from '../../bench/quota/judge.js';
import { killFigures } from '../../bench/quota/kill.js';
import { type Figures, figuresOf, jain, quantile } from '../../bench/quota/measure.js';
import { measureReservations } from '../../bench/quota/reservations.js';
import { type Run, runSide, type SeenCall } from '../../bench/quota/run.js';
import { type Plan, planScenario, SCALES, SCENARIOS } from '../../bench/quota/scenarios.js';
import { SIDES } from '../../bench/quota/sides.js';
import { planWorkload, totalCost } from '../../bench/quota/workload.js';

function short(name: string): Plan {
  return planScenario(name, SCENARIOS[name]!, SCALES.short);
}

/** What must hold on any machine: the whole workload was done, each call is accounted for, and each step was paid once. */
function expectWhole(plan: Plan, run: Run): Figures {
  const figures = figuresOf(plan, run);
  const all = SCALES.short.chains * (plan.chainsShare ?? 1);
  expect(run.failures).toEqual([]);
  expect(figures.finished).toBe(Math.round(all) + SCALES.short.urgent);
  expect(figures.chains).toBe(figures.finished);
  expect(figures.paidTwice).toBe(0);
  const in_ = (state: SeenCall['state']) => run.calls.filter((call) => call.state === state);
  const { requests, inputTokens, outputTokens } = totalCost(plan.workload);
  expect(in_('succeeded')).toHaveLength(requests);
  expect(in_('refused')).toHaveLength(figures.refused);
  expect(run.calls).toHaveLength(requests + in_('refused').length + in_('failed').length);
  // The same requests as the plan reckoned with: tokens, cached and not, are those of the simulated Claude.
  expect(sum(in_('succeeded').map((call) => call.inputTokens))).toBe(inputTokens);
  expect(sum(in_('succeeded').map((call) => call.outputTokens))).toBe(outputTokens);
  return figures;
}

describe('the bench of the quota, in its short form', () => {
  it.each(Object.keys(SCENARIOS))('%s: the oracle does the whole workload', async (name) => {
    const plan = short(name);
    const figures = expectWhole(plan, await runSide(plan, SIDES.oracle));
    expect(figures.wastedTokens).toBe(0);
  });

  it.each(['holdfast', 'bare', 'promise-all'] as const)('%s makes the same calls as the plan', async (side) => {
    const plan = short('faults');
    const run = await runSide(plan, SIDES[side]);
    const { claims, tables } = judge(plan, { [side]: expectWhole(plan, run) });
    expect(claims.filter(({ kept, timed }) => !kept && !timed)).toEqual([]);
    for (const row of tables[0]!.rows) {
      expect(row).toHaveLength(tables[0]!.head.length);
      expect(row.join()).not.toMatch(/NaN|undefined/);
    }
  });

  it('gives every side the same chains', () => {
    const options = { chains: 100, urgent: 4, sentences: 3 };
    const { chains } = planWorkload(options);
    expect(planWorkload(options).chains).toEqual(chains);
    const share = (of: (typeof chains)[number][]) => of.length / chains.length;
    expect(share(chains.filter(({ tenant }) => tenant === 'noisy'))).toBe(0.7);
    expect(chains.findIndex(({ tenant }) => tenant !== 'noisy')).toBe(70);
    expect(share(chains.filter(({ priority }) => priority === 'high'))).toBe(0.1);
    expect(share(chains.filter(({ priority }) => priority === 'low'))).toBe(0.3);
  });
});

describe('its figures', () => {
  const plan = planScenario('halved', SCENARIOS.halved!, { ...SCALES.full, chains: 300 });
  const half = 0.3 * plan.seconds;

  function call(chain: string, kind: SeenCall['call'], startedAt: number, rest: Partial<SeenCall> = {}): SeenCall {
    const finished = { state: 'succeeded', status: 200, finishedAt: startedAt + 1 } as const;
    return { chain, call: kind, startedAt, inputTokens: 10, outputTokens: 1, ...finished, ...rest };
  }

  function run(calls: readonly SeenCall[], completed: readonly string[], seconds: number): Run {
    const names = [...plan.workload.chains, ...plan.workload.urgent].map(({ name }) => name);
    const submitted = new Map(names.map((name) => [name, 0]));
    return { calls, completed: new Set(completed), submitted, seconds, failures: [], timedOut: false };
  }

  it('count 429s, tokens of calls that failed, and steps that were paid twice', () => {
    const figures = figuresOf(
      plan,
      run(
        [
          call('c1', 'analyze', 0, { state: 'refused', status: 429, inputTokens: 0, outputTokens: 0 }),
          call('c1', 'analyze', 1, { state: 'aborted' }),
          call('c1', 'analyze', 2),
          call('c1', 'summarize', 4),
          call('c1', 'summarize', 6),
        ],
        ['c1'],
        10,
      ),
    );
    expect(figures).toMatchObject({ finished: 1, chains: 310, calls: 5, refused: 1, wastedTokens: 11, paidTwice: 1 });
    // Two calls of a finished chain, of nine a second.
    expect(figures.goodput).toBeCloseTo(2 / 90, 6);
  });

  it('leave calls of unfinished chains out of the goodput', () => {
    expect(figuresOf(plan, run([call('c1', 'analyze', 0)], [], 10)).goodput).toBe(0);
  });

  it('say how much of the halved limit was used', () => {
    // Four and a half calls a second have room from there on; these are three.
    const calls = Array.from({ length: 60 }, (_, at) => call(`c${at + 1}`, 'analyze', half + at / 3 + 0.01));
    expect(figuresOf(plan, run(calls, [], half + 20)).afterHalving).toBeCloseTo(30 / 45, 1);
  });

  it('tell a fair share from an unfair one', () => {
    const high = plan.workload.chains.filter(({ priority }) => priority === 'high');
    const first = ['noisy', 'quiet-1', 'quiet-2', 'quiet-3'].map(
      (tenant) => high.find((one) => one.tenant === tenant)!,
    );
    const others = high.filter(({ tenant, name }) => tenant === 'noisy' && name !== first[0]!.name);
    const fair = first.map(({ name }, at) => call(name, 'analyze', at));
    const unfair = [first[0]!, ...others].map(({ name }, at) => call(name, 'analyze', at));
    expect(figuresOf(plan, run(fair, [], 100)).jain).toBeCloseTo(1, 6);
    expect(figuresOf(plan, run(unfair, [], 100)).jain).toBeCloseTo(0.25, 6);
  });

  it('count calls of lower classes that went before one of an urgent chain', () => {
    const [urgent] = plan.workload.urgent;
    const of = (priority: string) => plan.workload.chains.find((chain) => chain.priority === priority)!.name;
    const calls = [
      call(of('low'), 'analyze', -1),
      call(of('low'), 'summarize', 1),
      call(of('normal'), 'analyze', 2),
      call(of('high'), 'analyze', 2),
      call(urgent!.name, 'analyze', 3),
      call(of('normal'), 'summarize', 3.5),
      call(urgent!.name, 'summarize', 5),
    ];
    expect(figuresOf(plan, run(calls, [], 10)).inversion).toEqual({ mean: 1, most: 2 });
    expect(figuresOf(plan, run([], [], 10)).inversion).toEqual({ mean: 0, most: 0 });
  });

  it('take quantiles by the nearest rank', () => {
    expect(quantile([3, 1, 2, 4], 0.5)).toBe(2);
    expect(quantile([3, 1, 2, 4], 0.95)).toBe(4);
    expect(jain([1, 1, 1, 1])).toBe(1);
    expect(jain([1, 0, 0, 0])).toBe(0.25);
  });

  it('judge Holdfast beside the oracle', () => {
    const oracle = figuresOf(plan, run([], [], 1));
    const good: Figures = {
      ...oracle,
      finished: 310,
      goodput: 1,
      calls: 620,
      refused: 30,
      high: { p50: 1, p95: 2 },
      urgent: { p50: 1, p95: 2 },
      halfTime: { quiet: 0.67, noisy: 0.4 },
      afterHalving: 0.95,
    };
    const kept = (holdfast: Figures) => judge(plan, { oracle: good, holdfast }).claims.filter((claim) => !claim.kept);
    expect(kept(good)).toEqual([]);
    expect(kept({ ...good, goodput: 0.96 }).map(({ text }) => text)).toEqual([
      "goodput at least 0.97 × the oracle's: 0.96 ×",
    ]);
    expect(kept({ ...good, refused: 31, afterHalving: 0.94, halfTime: { quiet: 0.67, noisy: 0.39 } })).toHaveLength(3);
    expect(kept({ ...good, urgent: { p50: 1, p95: 2.51 }, high: { p50: 1.51, p95: 3.01 } })).toHaveLength(3);
    expect(kept({ ...good, finished: 309, paidTwice: 1, wastedTokens: 1 })).toHaveLength(3);
  });

  it('tell a call that a kill cut from a step that was finished before it', () => {
    const calls = [
      call('c1', 'analyze', 0),
      call('c2', 'analyze', 8, { state: 'aborted', finishedAt: 10 }),
      call('c3', 'analyze', 8.5),
      call('c2', 'analyze', 14),
      call('c3', 'analyze', 15),
    ];
    const killed = { side: 'holdfast', victim: 'worker', killedAt: 10 } as const;
    expect(killFigures(plan, killed, run(calls, [], 20))).toMatchObject({
      cut: 1,
      sentAgain: 4,
      askedAgain: 0,
      stall: 4,
    });
    expect(killFigures(plan, killed, run([...calls, call('c1', 'analyze', 16)], [], 20)).askedAgain).toBe(1);
    expect(killFigures(plan, killed, run(calls.slice(0, 3), [], 20)).sentAgain).toBe(Number.POSITIVE_INFINITY);
  });
});

it('reserves from ten connections at once, and none over the limit', async () => {
  const { claims, tables } = await measureReservations(0.5);
  expect(claims.filter(({ kept, timed }) => !kept && !timed)).toEqual([]);
  expect(tables[0]?.rows).toHaveLength(2);
});

describe('its command line', () => {
  it('runs everything, or what is named, in the order of the report', () => {
    expect(readArguments([])).toMatchObject({ chains: 300, sides: ['oracle', 'holdfast', 'bare', 'promise-all'] });
    expect(readArguments([]).scenarios).toEqual([...Object.keys(SCENARIOS), 'kill', 'reservations']);
    expect(readArguments(['kill', 'tokens', '--sides', 'bare,oracle', '--chains', '60'])).toMatchObject({
      scenarios: ['tokens', 'kill'],
      sides: ['oracle', 'bare'],
      chains: 60,
    });
  });

  it('names what there is when it is asked for something else', () => {
    expect(() => readArguments(['nothing'])).toThrow(/No scenario nothing; there are: requests, .*kill/);
    expect(() => readArguments(['--sides', 'oracle,none'])).toThrow(/No side none; there are: oracle, holdfast/);
    expect(() => readArguments(['--chains', '3'])).toThrow(/--chains 3: expected a whole number from 12/);
    expect(() => readArguments(['--sides', 'oracle', '--write'])).toThrow(/of all sides/);
  });
});
