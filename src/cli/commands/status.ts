import type { Command } from 'commander';
import { formatStatus } from '../format-status.js';
import { createOutput } from '../output.js';
import { withClient } from '../with-client.js';

/** Adds `status`. */
export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('show the state of a chain, its steps, holds and cost')
    .argument('<id>', 'id of the chain')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast status analyzeDocument-01a1fc8e-5110-76ab-91e8-12a6dad8802f --json')
    .action(async (id: string, flags: { json?: boolean }, command: Command) => {
      const status = await withClient(command, (client) => client.status(id));
      createOutput(flags.json === true).result(status, formatStatus(status));
    });
}
