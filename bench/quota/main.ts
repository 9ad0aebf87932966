/** `npm run bench:quota [-- SCENARIO… [--sides A,B] [--chains N] [--out FILE] [--write]]`: runs, prints and judges. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { conditions, renewed, sectionText } from '../report.js';
import { judge, line } from './judge.js';
import { judgeKills, KILL, KILL_SIDE_NAMES, type KillFigures, killLine, runKills } from './kill.js';
import { type Figures, figuresOf } from './measure.js';
import { type Run, runSide } from './run.js';
import { planScenario, SCALES, SCENARIOS } from './scenarios.js';
import { SIDE_NAMES, SIDES, type SideName } from './sides.js';

const PAGE = new URL('../../docs/benchmarks.md', import.meta.url);
/** With fewer a tenant or a class has no chain. */
const LEAST_CHAINS = 12;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** The names that are asked for, or all. */
function chosen<Name extends string>(what: string, asked: readonly string[], known: readonly Name[]): readonly Name[] {
  const unknown = asked.filter((name) => !(known as readonly string[]).includes(name));
  if (unknown.length > 0) throw new Error(`No ${what} ${unknown.join(', ')}; there are: ${known.join(', ')}.`);
  return asked.length > 0 ? known.filter((name) => asked.includes(name)) : known;
}

async function bench(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      sides: { type: 'string' },
      chains: { type: 'string', default: String(SCALES.full.chains) },
      out: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  });
  const scenarios = chosen('scenario', positionals, [...Object.keys(SCENARIOS), 'kill']);
  const sides = chosen('side', values.sides?.split(',') ?? [], SIDE_NAMES);
  const chains = Number(values.chains);
  if (!Number.isInteger(chains) || chains < LEAST_CHAINS) {
    throw new Error(`--chains ${values.chains}: expected a whole number from ${LEAST_CHAINS}.`);
  }
  if (values.write && (chains < SCALES.full.chains || sides.length < SIDE_NAMES.length)) {
    throw new Error(`Figures for the page are those of all sides, with ${SCALES.full.chains} chains or more.`);
  }
  const under = conditions(['npm run bench:quota', ...(args.length > 0 ? ['--', ...args] : [])].join(' '));
  const scale = { ...SCALES.full, chains, urgent: Math.min(SCALES.full.urgent, Math.ceil(chains / 6)) };
  const keep = (name: string, side: string, figures: object, { submitted, completed, ...run }: Run): void => {
    if (values.out === undefined) return;
    const raw = { ...run, submitted: Object.fromEntries(submitted), completed: [...completed] };
    appendFileSync(values.out, `${JSON.stringify({ scenario: name, side, figures, run: raw })}\n`);
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
      const run = await runSide(plan, SIDES[side]);
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

  for (const name of scenarios) {
    const section = name === 'kill' ? await killing() : await compare(name);
    say(`\n${section}\n`);
    // At once: a later scenario that fails must not cost the figures of an earlier one.
    if (values.write)
      writeFileSync(PAGE, renewed(readFileSync(PAGE, 'utf8'), `quota-${name}`, `${section}\n\n${under}`));
  }
}

await bench(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
