import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { HoldfastClient } from '../../client/holdfast-client.js';
import type { ChainState } from '../../contracts/chains.js';
import { EXIT, HoldfastError } from '../../contracts/errors.js';
import type { HoldDecision, HoldVerdict } from '../../contracts/holds.js';
import type { ChainStatus } from '../../contracts/status.js';
import { attachFiles } from '../attach-files.js';
import { formatOutput, formatStatus } from '../format-status.js';
import { asSentence, createOutput } from '../output.js';

interface SubmitFlags {
  readonly input: string;
  readonly attach: readonly string[];
  readonly tenant?: string;
  readonly priority?: string;
  readonly key?: string;
  readonly wait?: boolean;
  readonly json?: boolean;
}

/** Adds `submit`, `status`, `retry`, `approve`, `reject` and `cancel`. */
export function addChainCommands(program: Command): void {
  program
    .command('submit')
    .description('start a chain')
    .argument('<chain>', 'name of the chain, e.g. analyzeDocument')
    .requiredOption('--input <file>', 'its input as JSON; - reads standard input')
    .option(
      '--attach <field=file>',
      'store an image or a PDF and put a reference to it into this field of the input; may be repeated',
      (spec: string, specs: readonly string[]) => [...specs, spec],
      [],
    )
    .option('--tenant <name>', 'whose work it is (default: default)')
    .option('--priority <class>', 'high, normal or low (default: normal)')
    .option('--key <key>', 'idempotency key: the same key is the same chain, for ever')
    .option('--wait', 'wait until it has ended or is held')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast submit analyzeDocument --input report.json --tenant acme --wait --json',
    )
    .action(submit);
  program
    .command('status')
    .description('show the state of a chain, its steps, holds and cost')
    .argument('<id>', 'id of the chain')
    .option('--json', 'print one JSON document')
    .action(async (id: string, flags: { json?: boolean }, command: Command) => {
      const status = await withClient(command, (client) => client.status(id));
      createOutput(flags.json === true).result(status, formatStatus(status));
    });
  const decisions = {
    retry: 'send held steps on their way again',
    approve: 'say yes to what a chain proposes',
    reject: 'say no to what a chain proposes',
  } as const;
  for (const verdict of ['retry', 'approve', 'reject'] as const) {
    const command = program
      .command(verdict)
      .description(decisions[verdict])
      .argument('<id>', 'id of the chain')
      .option(
        '--hold <hold>',
        verdict === 'retry' ? 'only this hold (default: all open ones)' : 'which approval, when several are open',
      )
      .option('--reason <text>', 'why; kept with the decision')
      .option('--by <name>', 'who decides (default: the user of this machine)')
      .option('--json', 'print one JSON document')
      .action((id: string, flags: DecideFlags, self: Command) => decide(verdict, id, flags, self));
    if (verdict === 'approve')
      command.option('--edit <file>', 'approve this JSON in place of the proposal; - reads standard input');
  }
  program
    .command('cancel')
    .description('cancel a chain')
    .argument('<id>', 'id of the chain')
    .option('--json', 'print one JSON document')
    .action(async (id: string, flags: { json?: boolean }, command: Command) => {
      const result = await withClient(command, (client) => client.cancel(id));
      const text =
        result.state === 'cancelled' ? `${id} is cancelled.` : `${id} is ${result.state}; cancellation is asked for.`;
      createOutput(flags.json === true).result(result, text);
    });
}

async function submit(chain: string, flags: SubmitFlags, command: Command): Promise<void> {
  const output = createOutput(flags.json === true);
  const given = await readInput(flags.input);
  await withClient(command, async (client) => {
    const input = await attachFiles(client, given, flags.attach, flags.tenant);
    const { warning, ...submitted } = await client.submit({ ...flags, chain, input });
    if (warning !== undefined) output.note(warning);
    if (flags.wait !== true) {
      output.result(submitted, `${submitted.id}  ${submitted.state}${submitted.duplicate ? ' (duplicate)' : ''}`);
      return;
    }
    const status = await client.wait(submitted.id);
    const result = { ...submitted, state: status.state, output: status.output };
    output.result(result, status.state === 'completed' ? formatOutput(status.output) : formatStatus(status));
    process.exitCode = exitCodeOf(status.state);
    if (output.json && status.state !== 'completed') output.note(explain(status));
  });
}

interface DecideFlags {
  readonly hold?: string;
  readonly reason?: string;
  readonly by?: string;
  readonly edit?: string;
  readonly json?: boolean;
}

/** One of the commands that decide holds. */
async function decide(verdict: HoldVerdict, id: string, flags: DecideFlags, command: Command): Promise<void> {
  const output = createOutput(flags.json === true);
  const edit = flags.edit === undefined ? undefined : await readInput(flags.edit);
  const decision: HoldDecision = {
    verdict,
    by: flags.by ?? userInfo().username,
    ...(flags.reason === undefined ? {} : { note: flags.reason }),
    ...(edit === undefined ? {} : { edit }),
  };
  const decided = await withClient(command, (client) => client.decide(id, decision, flags.hold));
  const { warning, ...result } = decided;
  if (warning !== undefined) output.note(warning);
  output.result(result, result.holds.map((hold) => `${id}: ${PAST[verdict]} ${hold.id}.`).join('\n'));
}

const PAST: Readonly<Record<HoldVerdict, string>> = { retry: 'retrying', approve: 'approved', reject: 'rejected' };

function exitCodeOf(state: ChainState): number {
  if (state === 'held') return EXIT.held;
  return state === 'completed' ? EXIT.done : EXIT.failed;
}

function explain({ id, state, holds, message }: ChainStatus): string {
  if (state !== 'held') return `${id} is ${state}${message === null ? '' : `: ${message}`}`;
  const reasons = holds.map(({ step, reason, message: text }) => `${step} (${reason}): ${text}`).join('; ');
  return `${id} is held at ${asSentence(reasons)} See \`holdfast status ${id}\`.`;
}

async function readInput(file: string): Promise<unknown> {
  const name = file === '-' ? 'standard input' : file;
  let bytes: Buffer;
  try {
    bytes = file === '-' ? await buffer(process.stdin) : await readFile(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const cause = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? String(error)})`;
    throw new HoldfastError('INVALID_INPUT', `The input file ${name} ${cause}.`, 'Name a file with JSON in it.', {
      cause: error,
    });
  }
  let content: string;
  try {
    // Strict: in another encoding the model would be paid for a text with holes. It also drops a byte order mark.
    content = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new HoldfastError('INVALID_INPUT', `${name} is not UTF-8.`, 'Save it as UTF-8.', { cause: error });
  }
  try {
    return JSON.parse(content);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('INVALID_INPUT', `${name} is not JSON: ${detail}.`, 'Correct it.', { cause: error });
  }
}

/** Connects when a command needs it: `--help` does not. */
async function withClient<Result>(command: Command, run: (client: HoldfastClient) => Promise<Result>): Promise<Result> {
  const connect = await import('../connect.js');
  return connect.withClient(command, run);
}
