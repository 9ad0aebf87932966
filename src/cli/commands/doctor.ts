import type { Command } from 'commander';
import type { Difference } from '../../client/reconcile-records.js';
import { EXIT, HoldfastError } from '../../contracts/errors.js';
import type { Check } from '../doctor/check.js';
import { createOutput } from '../output.js';

interface DoctorFlags {
  readonly reconcile?: boolean;
  readonly fix?: boolean;
  readonly json?: boolean;
}

/** Adds `doctor`. */
export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('say what is missing and how to get it')
    .option('--reconcile', 'instead: where PostgreSQL and Temporal disagree, after one of them was restored')
    .option('--fix', 'with --reconcile: mend what can be mended')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExamples:\n  holdfast doctor\n  holdfast doctor --reconcile --fix')
    .action(doctor);
}

async function doctor(flags: DoctorFlags, command: Command): Promise<void> {
  const { result } = createOutput(flags.json === true);
  if (flags.reconcile === true) return reconcile(flags, command);
  if (flags.fix === true) {
    throw new HoldfastError('BAD_USAGE', '--fix goes with --reconcile only.', 'doctor alone changes nothing.');
  }
  const [{ configOf }, { examine }] = await Promise.all([import('../connect.js'), import('../doctor/examine.js')]);
  const checks = await examine(() => configOf(command));
  const healthy = checks.every(({ state }) => state !== 'problem');
  result({ healthy, checks }, checks.map(format).join('\n'));
  if (!healthy) process.exitCode = EXIT.failed;
}

async function reconcile({ fix = false, json = false }: DoctorFlags, command: Command): Promise<void> {
  const { result } = createOutput(json);
  const { withClient } = await import('../connect.js');
  const differences = await withClient(command, (client) => client.reconcile({ fix }));
  const text = differences.map(formatDifference).join('\n') || 'PostgreSQL and Temporal agree.';
  result({ differences }, text);
  if (differences.some(({ fixed }) => !fixed)) process.exitCode = EXIT.failed;
}

const MARKS: Readonly<Record<Check['state'], string>> = { ok: 'ok     ', warning: 'warning', problem: 'PROBLEM' };

function format({ name, state, message, remedy }: Check): string {
  return `${MARKS[state]}  ${name}: ${message}${remedy === null ? '' : `\n         ${remedy}`}`;
}

function formatDifference({ kind, id, message, fix, command, fixed }: Difference): string {
  const lines = [`${id}  ${kind}: ${message}`];
  if (fix !== null) lines.push(fixed ? `  Done: ${fix}.` : `  --fix ${fix}.`);
  if (command !== null && !fixed) lines.push(`  ${fix === null ? '' : 'Or: '}${command}`);
  return lines.join('\n');
}
