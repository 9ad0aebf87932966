import { setTimeout as delay } from 'node:timers/promises';
import { digits } from '../figures.js';
import type { Claim, Result } from '../measurement.js';
import { type Run, runSide, type SeenCall } from './run.js';
import { type Plan, planScenario, type Scale, type Scenario } from './scenarios.js';
import { type StackSide, startBare, startHoldfast } from './stack.js';

export const KILL: Scenario = {
  title: 'a kill in the middle',
  method:
    'Calls of 2.4 s, 6 requests a second; a third of the way a worker process is killed and stays away, PostgreSQL is killed and started again, or Temporal is, each in a run of its own.',
  binding: 'requests',
  callsPerSecond: 6,
  chainsShare: 0.3,
  latency: { firstTokenMs: 2_000 },
};

const KILL_SIDES = { holdfast: startHoldfast, bare: startBare };
export type KillSide = keyof typeof KILL_SIDES;
export const KILL_SIDE_NAMES = Object.keys(KILL_SIDES) as readonly KillSide[];

/** The bare side has no PostgreSQL. */
const VICTIMS = { holdfast: ['worker', 'PostgreSQL', 'Temporal'], bare: ['worker', 'Temporal'] } as const;
type Victim = (typeof VICTIMS)[KillSide][number];

/** Calls that must be open at the kill, so that it cuts some. */
const OPEN_CALLS = 8;
/** An answer that came so long before a kill, in seconds, has been recorded. */
const RECORDED_AFTER = 1;
const MOST_SECONDS = 5;

export interface KillFigures {
  readonly side: KillSide;
  readonly victim: Victim;
  readonly chains: number;
  readonly finished: number;
  /** Calls that ended with the process that made them. */
  readonly cut: number;
  /** From the kill until the last of them was sent again, in seconds; 0 when none was cut, infinite when one never was. */
  readonly sentAgain: number;
  /** Steps that were asked for again although they had been answered, other than those in flight at the kill. */
  readonly askedAgain: number;
  /** The longest time after the kill in which no call began, in seconds. */
  readonly stall: number;
}

/** Runs the scenario once for each part that can be killed. */
export async function runKills(
  side: KillSide,
  scale: Scale,
  report: (figures: KillFigures, run: Run) => void,
): Promise<KillFigures[]> {
  const plan = planScenario('kill', KILL, { ...scale, urgent: 0 });
  const all: KillFigures[] = [];
  for (const victim of VICTIMS[side]) {
    let killedAt = Number.POSITIVE_INFINITY;
    const run = await runSide(plan, KILL_SIDES[side], async ({ side: stack, simulator, startedMs, signal }) => {
      await delay((plan.seconds * 1_000) / 3, undefined, { signal });
      const least = Math.min(OPEN_CALLS, plan.workload.chains.length / 2);
      while (simulator.calls().filter(({ state }) => state === 'open').length < least) {
        await delay(10, undefined, { signal });
      }
      killedAt = (Date.now() - startedMs) / 1_000;
      await kill(stack, victim);
    });
    const figures = killFigures(plan, { side, victim, killedAt }, run);
    report(figures, run);
    all.push(figures);
  }
  return all;
}

async function kill({ workers, parts }: StackSide, victim: Victim): Promise<void> {
  if (victim !== 'worker') return parts[victim]!.killAndRestart();
  process.kill(workers[0]!.pid, 'SIGKILL');
}

export function killFigures(
  { workload }: Plan,
  { side, victim, killedAt }: Pick<KillFigures, 'side' | 'victim'> & { readonly killedAt: number },
  { calls, completed, seconds }: Run,
): KillFigures {
  const later = calls.filter(({ startedAt }) => startedAt > killedAt);
  const cut = calls.filter(({ state, startedAt }) => state === 'aborted' && startedAt <= killedAt);
  const sameStep = (a: SeenCall, b: SeenCall) => a.chain === b.chain && a.call === b.call;
  const againAt = (one: SeenCall) => later.find((call) => sameStep(one, call))?.startedAt ?? Number.POSITIVE_INFINITY;
  const inFlight = ({ startedAt, finishedAt }: SeenCall) =>
    startedAt <= killedAt && (finishedAt ?? Number.POSITIVE_INFINITY) > killedAt - RECORDED_AFTER;
  const askedAgain = calls.filter(
    (one, at) => one.state === 'succeeded' && !inFlight(one) && calls.slice(at + 1).some((call) => sameStep(one, call)),
  );
  const begins = [killedAt, ...later.map(({ startedAt }) => startedAt).sort((a, b) => a - b)];
  return {
    side,
    victim,
    chains: workload.chains.length,
    finished: completed.size,
    cut: cut.length,
    sentAgain: Math.max(0, ...cut.map((one) => againAt(one) - killedAt)),
    askedAgain: askedAgain.length,
    stall: Math.max(...begins.map((at, index) => (begins[index + 1] ?? Math.min(at, seconds)) - at)),
  };
}

export function killLine({ side, victim, chains, finished, cut, sentAgain, askedAgain, stall }: KillFigures): string {
  return (
    `  ${side}, ${victim} killed: ${finished} of ${chains} chains; ${cut} calls cut, sent again within ${digits(sentAgain, 1)} s; ` +
    `${askedAgain} finished steps asked again; longest time without a new call ${digits(stall, 1)} s`
  );
}

export function judgeKills(found: readonly KillFigures[]): Result {
  const claims = found
    .filter(({ side }) => side === 'holdfast')
    .flatMap(({ victim, chains, finished, cut, sentAgain, askedAgain }): Claim[] => [
      {
        text: `${victim} killed: all chains finish: ${finished} of ${chains}`,
        kept: finished === chains,
        timed: false,
      },
      {
        text: `${victim} killed: no finished step is asked for again: ${askedAgain}`,
        kept: askedAgain === 0,
        timed: false,
      },
      {
        text: `${victim} killed: what it cut, ${cut} calls, is sent again within ${MOST_SECONDS} s: ${digits(sentAgain, 1)} s`,
        // A worker with no open call would prove nothing.
        kept: sentAgain <= MOST_SECONDS && (victim !== 'worker' || cut > 0),
        timed: true,
      },
    ]);
  const head = [
    'killed',
    'side',
    'chains finished',
    'calls cut',
    'sent again within, s',
    'finished steps asked again',
    'longest time without a new call, s',
  ];
  return {
    claims,
    tables: [
      {
        head,
        rows: found.map(({ side, victim, chains, finished, cut, sentAgain, askedAgain, stall }) => [
          victim,
          side,
          `${finished} of ${chains}`,
          digits(cut, 0),
          digits(sentAgain, 1),
          digits(askedAgain, 0),
          digits(stall, 1),
        ]),
      },
    ],
  };
}
