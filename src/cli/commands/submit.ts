import type { Command } from 'commander';
import type { ChainState } from '../../contracts/chains.js';
import { EXIT, HoldfastError } from '../../contracts/errors.js';
import type { ChainStatus } from '../../contracts/status.js';
import { attachFiles } from '../attach-files.js';
import { formatOutput, formatStatus } from '../format-status.js';
import { asSentence, createOutput } from '../output.js';
import { readInput } from '../read-input.js';
import { submitLines } from '../submit-lines.js';
import { withClient } from '../with-client.js';

interface SubmitFlags {
  readonly input?: string;
  readonly attach: readonly string[];
  readonly lines?: string;
  readonly tenant?: string;
  readonly priority?: string;
  readonly key?: string;
  readonly at?: string;
  readonly delay?: string;
  readonly wait?: boolean;
  readonly json?: boolean;
}

/** Adds `submit`. */
export function addSubmitCommand(program: Command): void {
  program
    .command('submit')
    .description('start a chain')
    .argument('<chain>', 'name of the chain, e.g. analyzeDocument')
    .option('--input <file>', 'its input as JSON; - reads standard input')
    .option(
      '--attach <field=file>',
      'store an image or a PDF and put a reference to it into this field of the input; may be repeated',
      (spec: string, specs: readonly string[]) => [...specs, spec],
      [],
    )
    .option(
      '--lines <file>',
      'many: a line of JSON each, { "input", "tenant"?, "priority"?, "key"?, "at"?, "delay"? }; - reads standard input',
    )
    .option('--tenant <name>', 'whose work it is (default: default)')
    .option('--priority <class>', 'high, normal or low (default: normal)')
    .option('--key <key>', 'idempotency key: the same key is the same chain, for ever')
    .option('--at <time>', 'start it at a time by RFC 3339, e.g. 2026-11-21T08:00:00Z')
    .option('--delay <time>', 'start it after 10s, 5m, 2h or 1d')
    .option('--wait', 'wait until it has ended or is held')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast submit analyzeDocument --input report.json --tenant acme --wait --json\n  holdfast submit analyzeDocument --lines reports.jsonl',
    )
    .action(submit);
}

async function submit(chain: string, flags: SubmitFlags, command: Command): Promise<void> {
  const { lines, ...single } = flags;
  if (lines !== undefined) return submitLines(chain, lines, single, command);
  if (flags.input === undefined) {
    throw new HoldfastError(
      'BAD_USAGE',
      'There is no input.',
      'Give --input FILE for one chain, or --lines FILE for many.',
    );
  }
  const output = createOutput(flags.json === true);
  const given = await readInput(flags.input);
  await withClient(command, async (client) => {
    const input = await attachFiles(client, given, flags.attach, flags.tenant);
    const { warning, ...submitted } = await client.submit({ ...flags, chain, input });
    if (warning !== undefined) output.note(warning);
    if (flags.wait !== true) {
      const { id, state, duplicate, startsAt } = submitted;
      const later = startsAt === undefined ? '' : `, starts at ${startsAt}`;
      output.result(submitted, `${id}  ${state}${later}${duplicate ? ' (duplicate)' : ''}`);
      return;
    }
    const status = await client.wait(submitted.id);
    const result = { ...submitted, state: status.state, output: status.output };
    output.result(result, status.state === 'completed' ? formatOutput(status.output) : formatStatus(status));
    process.exitCode = exitCodeOf(status.state);
    if (output.json && status.state !== 'completed') output.note(explain(status));
  });
}

function exitCodeOf(state: ChainState): number {
  if (state === 'held') return EXIT.held;
  return state === 'completed' ? EXIT.done : EXIT.failed;
}

function explain({ id, state, holds, message }: ChainStatus): string {
  if (state !== 'held') return `${id} is ${state}${message === null ? '' : `: ${message}`}`;
  const reasons = holds.map(({ step, reason, message: text }) => `${step} (${reason}): ${text}`).join('; ');
  return `${id} is held at ${asSentence(reasons)} See \`holdfast status ${id}\`.`;
}
