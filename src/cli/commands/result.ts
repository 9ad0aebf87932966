import type { Command } from 'commander';
import { formatOutput } from '../format-status.js';
import { createOutput } from '../output.js';
import { withClient } from '../with-client.js';

/** Adds `result`. */
export function addResultCommand(program: Command): void {
  program
    .command('result')
    .description('print the output of a completed chain')
    .argument('<id>', 'id of the chain')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast result analyzeDocument-01a1fc8e-5110-76ab-91e8-12a6dad8802f --json')
    .action(async (id: string, flags: { json?: boolean }, command: Command) => {
      const result = await withClient(command, (client) => client.result(id));
      createOutput(flags.json === true).result(result, formatOutput(result));
    });
}
