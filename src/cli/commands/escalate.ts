import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { createOutput } from '../output.js';
import { withClient } from '../with-client.js';

/** Adds `dead-letters escalate`. */
export function addEscalateCommand(group: Command): void {
  group
    .command('escalate')
    .description('hand one on to somebody, who is told by webhook or mail')
    .argument('<id>', 'id of the chain')
    .requiredOption('--to <name>', 'who looks after it from now on; a mail address is written to')
    .requiredOption('--reason <text>', 'why; kept with it as a note')
    .option('--hold <hold>', 'which one, when the chain has several')
    .option('--by <name>', 'who does it (default: the user of this machine)')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast dead-letters escalate analyzeDocument-01a1fc8e-5110-76ab-91e8-12a6dad8802f --to ops@example.com --reason "the key is not ours"',
    )
    .action(escalate);
}

interface Escalating {
  readonly to: string;
  readonly reason: string;
  readonly hold?: string;
  readonly by?: string;
  readonly json?: boolean;
}

async function escalate(id: string, flags: Escalating, command: Command): Promise<void> {
  const { to, reason: note, by = userInfo().username, hold, json } = flags;
  const result = await withClient(command, (client) => client.deadLetters.escalate(id, { to, by, note }, hold));
  const told =
    result.toldBy.length === 0
      ? 'Nobody is told of it: neither a webhook nor mail is configured (HOLDFAST_NOTIFY_WEBHOOK_URL, HOLDFAST_NOTIFY_SMTP_URL).'
      : `A worker tells it by ${result.toldBy.join(' and ')}.`;
  createOutput(json === true).result(result, `${id} ${result.deadLetter.hold}: ${to} looks after it.\n${told}`);
}
