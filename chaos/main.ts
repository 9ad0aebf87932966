/** `npm run chaos [-- --seed N] [--chains N] [--minutes N] [--json] [--plan]`: plans, runs, checks. Exit code 1: something is wrong. */
import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { parseArgs } from 'node:util';
import { check, verdictLines } from './check.js';
import { planChaos, planLines } from './plan.js';
import { runChaos } from './run.js';

async function chaos(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: '1' },
      chains: { type: 'string', default: '1000' },
      minutes: { type: 'string', default: '5' },
      /** Prints the verdicts as JSON, and everything else on standard error. */
      json: { type: 'boolean', default: false },
      /** Prints what would be done, and does nothing. */
      plan: { type: 'boolean', default: false },
    },
  });
  const plan = planChaos({
    seed: Number(values.seed),
    chains: Number(values.chains),
    seconds: Math.round(60 * Number(values.minutes)),
  });
  const out = (line: string): void => void process.stdout.write(`${line}\n`);
  const log = values.json ? (line: string): void => void process.stderr.write(`${line}\n`) : out;
  const digest = createHash('sha256').update(JSON.stringify(plan)).digest('hex').slice(0, 16);
  log(
    `seed ${plan.seed}: ${plan.chains} chains, ${plan.disturbances.length} disturbances in ${plan.seconds} s; plan ${digest}`,
  );
  for (const line of planLines(plan)) log(line);
  if (values.plan) return;

  const stop = new AbortController();
  // Everything that is to come waits for its time, and for this.
  setMaxListeners(0, stop.signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stop.abort(new Error(`Ended by ${signal}.`)));
  }
  log('starting');
  const verdicts = check(await runChaos(plan, { log, signal: stop.signal }));
  if (values.json) out(JSON.stringify({ plan: { ...plan, digest }, verdicts }, null, 2));
  else for (const line of verdictLines(verdicts, Number.POSITIVE_INFINITY)) out(line);
  process.exitCode = verdicts.every(({ ok }) => ok) ? 0 : 1;
}

await chaos(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
