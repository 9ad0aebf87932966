import type { Command } from 'commander';
import type { ChainChange } from '../../client/watch-chains.js';
import { createOutput, formatCost } from '../output.js';
import { printLines } from '../print-lines.js';
import { untilStopped } from '../until-stopped.js';
import { withClient } from '../with-client.js';

interface WatchFlags {
  readonly tenant?: string;
  readonly chain?: string;
  readonly since?: string;
  readonly json?: boolean;
}

/** Adds `watch`. */
export function addWatchCommand(program: Command): void {
  program
    .command('watch')
    .description('print a line per change of state, as it happens, until Ctrl-C')
    .option('--tenant <name>', 'only chains of a tenant')
    .option('--chain <chain>', 'only those of a chain, e.g. analyzeDocument')
    .option('--since <when>', 'begin after a cursor, at an ISO time, or so long ago, e.g. 10m (default: now)')
    .option('--json', 'print one JSON document per line')
    .addHelpText('after', '\nExample:\n  holdfast watch --tenant acme --since 10m --json')
    .action(watch);
}

async function watch({ json, ...filter }: WatchFlags, command: Command): Promise<void> {
  const { note } = createOutput(false);
  const { signal } = untilStopped();
  await withClient(command, (client) => {
    const changes = client.watch({ ...filter, signal, onNotice: note });
    return printLines(format(changes, json === true ? JSON.stringify : formatChange));
  });
}

async function* format(
  changes: AsyncIterable<ChainChange>,
  formatOne: (change: ChainChange) => string,
): AsyncGenerator<string> {
  for await (const change of changes) yield `${formatOne(change)}\n`;
}

function formatChange({ at, id, key, tenant, state, costMicroUsd }: ChainChange): string {
  return `${at}  ${state.padEnd(9)}  ${id}  ${tenant}${key === null ? '' : `  ${key}`}  ${formatCost(costMicroUsd)}`;
}
