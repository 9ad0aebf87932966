import Table from 'cli-table3';
import type { Command } from 'commander';
import { HoldfastError } from '../../contracts/errors.js';
import { createOutput, formatCost } from '../output.js';
import { withClient } from '../with-client.js';

interface ListFlags {
  readonly state?: string;
  readonly tenant?: string;
  readonly chain?: string;
  readonly limit?: string;
  readonly json?: boolean;
}

/** Adds `list`. */
export function addListCommand(program: Command): void {
  program
    .command('list')
    .description('list chains, the newest first')
    .option('--state <state>', 'only queued, running, held, completed, failed or cancelled ones')
    .option('--tenant <name>', 'only those of a tenant')
    .option('--chain <chain>', 'only those of a chain, e.g. analyzeDocument')
    .option('--limit <number>', 'how many at most (default: 50)')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast list --state held --tenant acme --json')
    .action(list);
}

async function list({ limit, json, ...filter }: ListFlags, command: Command): Promise<void> {
  if (Number.isNaN(Number(limit ?? 0))) {
    throw new HoldfastError('BAD_USAGE', `--limit ${JSON.stringify(limit)} is no number.`, 'Use one from 1 to 10000.');
  }
  const options = { ...filter, ...(limit === undefined ? {} : { limit: Number(limit) }) };
  const chains = await withClient(command, (client) => client.list(options));
  const table = new Table({
    head: ['id', 'state', 'tenant', 'key', 'title', 'created', 'cost'],
    colAligns: ['left', 'left', 'left', 'left', 'left', 'left', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const { id, state, tenant, key, title, createdAt, startsAt, costMicroUsd } of chains) {
    const shown = startsAt === null ? state : `${state} until ${startsAt}`;
    table.push([id, shown, tenant, key ?? '', title ?? '', createdAt, formatCost(costMicroUsd)]);
  }
  createOutput(json === true).result(chains, chains.length === 0 ? 'No chains.' : table.toString());
}
