import { digits, times } from '../figures.js';
import type { Claim, Result } from '../measurement.js';
import type { Figures } from './measure.js';
import type { Plan } from './scenarios.js';
import { SIDE_NAMES, type SideName } from './sides.js';

/** The sides that ran. */
export type Found = Readonly<Partial<Record<SideName, Figures>>>;

/** Of the oracle's latency. */
const HIGH_LATENCY = 1.5;
const URGENT_LATENCY = 1.25;
const HALF_TIME = { quiet: 0.67, noisy: 0.4 };
const JAIN = 0.95;
const AFTER_HALVING = 0.95;

const percent = (share: number): string => `${digits(100 * share, 0)} %`;

/** One side's figures as soon as there are any. */
export function line(side: string, figures: Figures): string {
  const { finished, chains, seconds, goodput, refused, calls, high, urgent, halfTime, wastedTokens } = figures;
  return [
    `  ${side}: ${finished} of ${chains} chains in ${digits(seconds, 1)} s`,
    `goodput ${digits(goodput, 3)}`,
    `${refused} of ${calls} calls 429`,
    `high p50 ${digits(high.p50, 1)} p95 ${digits(high.p95, 1)} s`,
    `urgent p50 ${digits(urgent.p50, 1)} p95 ${digits(urgent.p95, 1)} s`,
    `half time quiet ${percent(halfTime.quiet)} noisy ${percent(halfTime.noisy)}`,
    `wasted tokens ${digits(wastedTokens, 0)}`,
    ...(figures.jain === null ? [] : [`Jain ${digits(figures.jain, 3)}`]),
    ...(figures.afterHalving === null ? [] : [`after the halving ${percent(figures.afterHalving)}`]),
  ].join('; ');
}

/** The claims of the issue about Holdfast, and the figures of all sides that ran. */
export function judge(plan: Plan, found: Found): Result {
  const { holdfast, oracle } = found;
  return {
    claims: holdfast === undefined ? [] : [...alone(plan, holdfast), ...(oracle ? beside(plan, holdfast, oracle) : [])],
    tables: [tableOf(found)],
  };
}

function alone({ demands, halved, longTenant }: Plan, holdfast: Figures): Claim[] {
  const { finished, chains, refused, calls, wastedTokens, paidTwice, halfTime, jain, afterHalving } = holdfast;
  const most = demands.refused(calls);
  return [
    { text: `all chains finish: ${finished} of ${chains}`, kept: finished === chains, timed: false },
    { text: `no step is paid twice: ${paidTwice}`, kept: paidTwice === 0, timed: false },
    { text: `at most ${digits(most, 0)} times 429: ${refused}`, kept: refused <= most, timed: true },
    {
      text: `no tokens are charged for failed calls, for no fault of this run takes any: ${digits(wastedTokens, 0)}`,
      kept: wastedTokens === 0,
      timed: true,
    },
    ...(longTenant === undefined
      ? [
          {
            text: `at half time quiet tenants have at least ${percent(HALF_TIME.quiet)} of their chains done and the noisy one ${percent(HALF_TIME.noisy)}: ${percent(halfTime.quiet)} and ${percent(halfTime.noisy)}`,
            kept: halfTime.quiet >= HALF_TIME.quiet && halfTime.noisy >= HALF_TIME.noisy,
            timed: true,
          },
        ]
      : [
          {
            text: `Jain's index of tokens over tenants with backlog at least ${JAIN}: ${jain === null ? 'no such backlog' : digits(jain, 3)}`,
            kept: jain !== null && jain >= JAIN,
            timed: true,
          },
        ]),
    ...(halved === undefined || afterHalving === null
      ? []
      : [
          {
            text: `within 15 s of the halving at least ${percent(AFTER_HALVING)} of the new limit is used: ${percent(afterHalving)}`,
            kept: afterHalving >= AFTER_HALVING,
            timed: true,
          },
        ]),
  ];
}

function beside({ demands }: Plan, holdfast: Figures, oracle: Figures): Claim[] {
  const latency = (name: string, value: number, of: number, most: number): Claim => ({
    text: `${name} at most ${most} × the oracle's: ${times(value, of)}`,
    kept: value <= most * of,
    timed: true,
  });
  return [
    {
      text: `goodput at least ${demands.goodput} × the oracle's: ${times(holdfast.goodput, oracle.goodput)}`,
      kept: holdfast.goodput >= demands.goodput * oracle.goodput,
      timed: true,
    },
    latency('latency of the high class, p50,', holdfast.high.p50, oracle.high.p50, HIGH_LATENCY),
    latency('latency of the high class, p95,', holdfast.high.p95, oracle.high.p95, HIGH_LATENCY),
    latency('latency of the urgent chains, p95,', holdfast.urgent.p95, oracle.urgent.p95, URGENT_LATENCY),
  ];
}

function tableOf(found: Found): Result['tables'][number] {
  const ran = SIDE_NAMES.flatMap((side) => (found[side] ? [[side, found[side]] as const] : []));
  const row = (name: string, cell: (figures: Figures) => string): string[] => [
    name,
    ...ran.map(([, one]) => cell(one)),
  ];
  return {
    head: ['', ...ran.map(([side]) => side)],
    rows: [
      row('chains finished', ({ finished, chains }) => `${finished} of ${chains}`),
      row('time, s', ({ seconds }) => digits(seconds, 1)),
      row('**goodput**', ({ goodput }) => digits(goodput, 3)),
      ...(found.oracle
        ? [row("goodput, of the oracle's", ({ goodput }) => times(goodput, found.oracle!.goodput))]
        : []),
      row('calls', ({ calls }) => digits(calls, 0)),
      row('**429s**', ({ refused, calls }) => `${digits(refused, 0)} (${digits((100 * refused) / calls, 1)} %)`),
      row('tokens of calls that failed or were cut', ({ wastedTokens }) => digits(wastedTokens, 0)),
      row('steps paid twice', ({ paidTwice }) => digits(paidTwice, 0)),
      row('high class, p50 and p95, s', ({ high }) => `${digits(high.p50, 1)}, ${digits(high.p95, 1)}`),
      row('**urgent chains, p50 and p95, s**', ({ urgent }) => `${digits(urgent.p50, 1)}, ${digits(urgent.p95, 1)}`),
      row(
        'calls of lower classes before one of an urgent chain, mean and most',
        ({ inversion }) => `${digits(inversion.mean, 1)}, ${digits(inversion.most, 0)}`,
      ),
      row(
        'done at half time, quiet and noisy',
        ({ halfTime }) => `${percent(halfTime.quiet)}, ${percent(halfTime.noisy)}`,
      ),
      row("Jain's index", ({ jain }) => (jain === null ? 'no backlog' : digits(jain, 3))),
      ...(ran.some(([, { afterHalving }]) => afterHalving !== null)
        ? [row('of the halved limit, 5 to 15 s after', ({ afterHalving }) => percent(afterHalving ?? 0))]
        : []),
    ],
  };
}
