import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { HoldDecision, HoldVerdict } from '../../contracts/holds.js';
import { createOutput } from '../output.js';
import { readInput } from '../read-input.js';
import { withClient } from '../with-client.js';

/** What is said in one word; all else about dead letters has a command of its own. */
type SimpleVerdict = Extract<HoldVerdict, 'retry' | 'approve' | 'reject'>;

const EXAMPLES: Readonly<Record<SimpleVerdict, string>> = {
  retry: 'retry analyzeDocument-01a1fc8e-5110-76ab-91e8-12a6dad8802f --hold summarize-1',
  approve: 'approve reviewedReport-01a1fc8e-5110-76ab-91e8-12a6dad8802f --edit report.json --reason "two typos"',
  reject: 'reject reviewedReport-01a1fc8e-5110-76ab-91e8-12a6dad8802f --reason "the numbers are last year\'s"',
};

/** Adds `retry`, `approve` and `reject`. */
export function addDecideCommands(program: Command): void {
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
      .addHelpText('after', `\nExample:\n  holdfast ${EXAMPLES[verdict]}`)
      .action((id: string, flags: DecideFlags, self: Command) => decide(verdict, id, flags, self));
    if (verdict === 'approve')
      command.option('--edit <file>', 'approve this JSON in place of the proposal; - reads standard input');
  }
}

interface DecideFlags {
  readonly hold?: string;
  readonly reason?: string;
  readonly by?: string;
  readonly edit?: string;
  readonly json?: boolean;
}

/** One of the commands that decide holds. */
async function decide(verdict: SimpleVerdict, id: string, flags: DecideFlags, command: Command): Promise<void> {
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

const PAST: Readonly<Record<SimpleVerdict, string>> = { retry: 'retrying', approve: 'approved', reject: 'rejected' };
