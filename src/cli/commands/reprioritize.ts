import type { Command } from 'commander';
import { createOutput } from '../output.js';
import { withClient } from '../with-client.js';

/** Adds `reprioritize`. */
export function addReprioritizeCommand(program: Command): void {
  program
    .command('reprioritize')
    .description('change the priority of a chain, also of its calls that wait')
    .argument('<id>', 'id of the chain')
    .argument('<priority>', 'high, normal or low')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast reprioritize analyzeDocument-01a1fc8e-5110-76ab-91e8-12a6dad8802f high',
    )
    .action(async (id: string, priority: string, flags: { json?: boolean }, command: Command) => {
      const output = createOutput(flags.json === true);
      const { warning, ...result } = await withClient(command, (client) => client.reprioritize(id, priority));
      if (warning !== undefined) output.note(warning);
      output.result(result, `${id} has priority ${priority}; calls moved in the queue: ${result.moved}.`);
    });
}
