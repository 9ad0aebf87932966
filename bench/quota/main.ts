/** `npm run bench:quota [-- SCENARIO… [--sides A,B] [--chains N] [--out FILE] [--from FILE] [--write]]`: runs, prints and judges. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { conditions, renewed, sectionText } from '../report.js';
import { readArguments } from './arguments.js';
import { judge, line } from './judge.js';
import { judgeKills, KILL, KILL_SIDE_NAMES, type KillFigures, killLine, runKills } from './kill.js';
import { type Figures, figuresOf } from './measure.js';
import { measureReservations, RESERVATIONS } from './reservations.js';
import { type Run, runSide } from './run.js';
import { planScenario, SCALES, SCENARIOS } from './scenarios.js';
import { SIDES, type SideName } from './sides.js';

const PAGE = new URL('../../docs/benchmarks.md', import.meta.url);
const RESERVATION_SECONDS = 10;
const FILES = ['--out', '--from'];
const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function bench(args: string[]): Promise<void> {
  const { scenarios, sides, chains, out, write, from } = readArguments(args);
  const kept = from === undefined ? undefined : readKept(from);
  // Where runs are kept says nothing of what they are.
  const shown = args.filter((arg, at) => !FILES.includes(arg) && !FILES.includes(args[at - 1] ?? ''));
  const under = conditions(['npm run bench:quota', ...(shown.length > 0 ? ['--', ...shown] : [])].join(' '));
  const scale = { ...SCALES.full, chains, urgent: Math.min(SCALES.full.urgent, Math.ceil(chains / 6)) };
  const keep = (name: string, side: string, figures: object, { submitted, completed, ...run }: Run): void => {
    if (out === undefined) return;
    const raw = { ...run, submitted: Object.fromEntries(submitted), completed: [...completed] };
    appendFileSync(out, `${JSON.stringify({ scenario: name, side, figures, run: raw })}\n`);
  };
  const troubles = ({ timedOut, seconds, failures }: Run): void => {
    if (timedOut) say(`    stopped after ${seconds.toFixed(0)} s, with chains left`);
    for (const failure of failures.slice(0, 3)) say(`    ${failure}`);
  };

  async function compare(name: string): Promise<string> {
    const plan = planScenario(name, SCENARIOS[name]!, scale);
    const { workload, seconds } = plan;
    say(`${name}: ${workload.chains.length} + ${workload.urgent.length} chains, ${seconds.toFixed(0)} s at the limit`);
    const found: Partial<Record<SideName, Figures>> = {};
    for (const side of sides) {
      const run =
        kept === undefined
          ? await runSide(plan, SIDES[side])
          : kept.findLast((one) => one.scenario === name && one.side === side)?.run;
      if (run === undefined) continue;
      const figures = figuresOf(plan, run);
      found[side] = figures;
      say(line(side, figures));
      troubles(run);
      keep(name, side, figures, run);
    }
    return sectionText({ title: `Quota: ${plan.title}`, method: plan.method }, judge(plan, found));
  }

  async function killing(): Promise<string> {
    say(`kill: ${Math.round(chains * (KILL.chainsShare ?? 1))} chains`);
    const found: KillFigures[] = [];
    for (const side of KILL_SIDE_NAMES.filter((one) => sides.includes(one))) {
      const kills = await runKills(side, scale, (figures, run) => {
        say(killLine(figures));
        troubles(run);
        keep('kill', `${side}, ${figures.victim} killed`, figures, run);
      });
      found.push(...kills);
    }
    return sectionText({ title: `Quota: ${KILL.title}`, method: KILL.method }, judgeKills(found));
  }

  async function sectionOf(name: string): Promise<string> {
    if (name === 'kill') return killing();
    if (name !== 'reservations') return compare(name);
    const { title, method } = RESERVATIONS;
    return sectionText({ title: `Quota: ${title}`, method }, await measureReservations(RESERVATION_SECONDS));
  }

  const isThere = (name: string): boolean => kept === undefined || kept.some((one) => one.scenario === name);
  for (const name of scenarios.filter(isThere)) {
    const section = await sectionOf(name);
    say(`\n${section}\n`);
    // At once: a later scenario that fails must not cost the figures of an earlier one.
    if (write) writeFileSync(PAGE, renewed(readFileSync(PAGE, 'utf8'), `quota-${name}`, `${section}\n\n${under}`));
  }
}

/** The runs of scenarios that `--out` has kept, oldest first. */
function readKept(file: string): { readonly scenario: string; readonly side: string; readonly run: Run }[] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.flatMap((line) => {
    const { scenario, side, run } = JSON.parse(line);
    if (!Object.hasOwn(SCENARIOS, scenario)) return [];
    const { submitted, completed, ...rest } = run;
    return {
      scenario,
      side,
      run: { ...rest, submitted: new Map(Object.entries(submitted)), completed: new Set(completed) },
    };
  });
}

await bench(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
