import Table from 'cli-table3';
import type { Command } from 'commander';
import { HoldfastError } from '../../contracts/errors.js';
import { createOutput } from '../output.js';
import { withClient } from '../with-client.js';

/** Adds `weight` and `weights`. */
export function addWeightCommands(program: Command): void {
  program
    .command('weight')
    .description("set a tenant's share of the quota beside other tenants")
    .argument('<tenant>', 'name of the tenant')
    .argument('<weight>', 'above 0 and up to 1000; all others have 1')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast weight acme 2.5')
    .action(async (tenant: string, text: string, { json }: { json?: boolean }, command: Command) => {
      const weight = text.trim() === '' ? Number.NaN : Number(text);
      if (Number.isNaN(weight)) {
        throw new HoldfastError(
          'BAD_USAGE',
          `The weight ${JSON.stringify(text)} is no number.`,
          'Use one such as 2.5.',
        );
      }
      const result = await withClient(command, (client) => client.setWeight(tenant, weight));
      createOutput(json === true).result(result, `Tenant ${tenant} has the weight ${weight}.`);
    });
  program
    .command('weights')
    .description('list the tenants whose weight is not 1')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast weights --json')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const weights = await withClient(command, (client) => client.weights());
      const table = new Table({
        head: ['tenant', 'weight'],
        colAligns: ['left', 'right'],
        style: { head: [], border: [], compact: true },
      });
      for (const { tenant, weight } of weights) table.push([tenant, weight]);
      const text = weights.length === 0 ? 'All tenants have the weight 1.' : table.toString();
      createOutput(json === true).result(weights, text);
    });
}
