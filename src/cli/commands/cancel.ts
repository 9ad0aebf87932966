import type { Command } from 'commander';
import { createOutput } from '../output.js';
import { withClient } from '../with-client.js';

/** Adds `cancel`. */
export function addCancelCommand(program: Command): void {
  program
    .command('cancel')
    .description('cancel a chain')
    .argument('<id>', 'id of the chain')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast cancel analyzeDocument-01a1fc8e-5110-76ab-91e8-12a6dad8802f')
    .action(async (id: string, flags: { json?: boolean }, command: Command) => {
      const result = await withClient(command, (client) => client.cancel(id));
      const text =
        result.state === 'cancelled' ? `${id} is cancelled.` : `${id} is ${result.state}; cancellation is asked for.`;
      createOutput(flags.json === true).result(result, text);
    });
}
