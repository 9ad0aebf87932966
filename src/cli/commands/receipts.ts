import type { Command } from 'commander';
import { stringify } from 'csv-stringify/sync';
import type { Receipt } from '../../client/read-receipts.js';
import { HoldfastError } from '../../contracts/errors.js';
import { formatCost } from '../output.js';
import { printLines } from '../print-lines.js';
import { withClient } from '../with-client.js';

interface ReceiptsFlags {
  readonly tenant?: string;
  readonly chain?: string;
  readonly since?: string;
  readonly csv?: boolean;
  readonly json?: boolean;
}

/** Adds `receipts`. */
export function addReceiptsCommand(program: Command): void {
  program
    .command('receipts')
    .description('print a receipt for every model call, the oldest first')
    .option('--tenant <name>', 'only those of a tenant')
    .option('--chain <chain>', 'only those of a chain, e.g. analyzeDocument')
    .option('--since <when>', 'only calls that began at an ISO time or later, or so long ago, e.g. 7d')
    .option('--csv', 'print CSV with a header')
    .option('--json', 'print one JSON document per line')
    .addHelpText('after', '\nExample:\n  holdfast receipts --tenant acme --since 30d --csv > receipts.csv')
    .action(receipts);
}

async function receipts({ csv, json, ...filter }: ReceiptsFlags, command: Command): Promise<void> {
  if (csv === true && json === true) {
    throw new HoldfastError('BAD_USAGE', '--csv and --json exclude each other.', 'Give one of them.');
  }
  const format = csv === true ? asCsv : json === true ? asJson : asText;
  await withClient(command, (client) => printLines(format(client.receipts(filter))));
}

async function* asJson(all: AsyncIterable<Receipt>): AsyncGenerator<string> {
  for await (const receipt of all) yield `${JSON.stringify(receipt)}\n`;
}

const COLUMNS = [
  ...([
    'id',
    'chainId',
    'chain',
    'tenant',
    'step',
    'call',
    'attempt',
    'kind',
    'fromJournal',
    'state',
    'model',
  ] as const),
  ...(['requestId', 'promptHash', 'inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWrite5mTokens'] as const),
  ...(['cacheWrite1hTokens', 'costMicroUsd', 'reason', 'message', 'startedAt', 'finishedAt', 'account'] as const),
] satisfies readonly (keyof Receipt)[];

async function* asCsv(all: AsyncIterable<Receipt>): AsyncGenerator<string> {
  yield stringify([COLUMNS]);
  for await (const receipt of all) {
    // A tenant or a message could begin as a formula does, which a spreadsheet would run.
    yield stringify([COLUMNS.map((column) => receipt[column])], { escape_formulas: true, cast: { boolean: String } });
  }
}

/** Lines of fixed columns, not a table: its widths would need all of them at once. */
async function* asText(all: AsyncIterable<Receipt>): AsyncGenerator<string> {
  for await (const receipt of all) {
    const { startedAt, chainId, step, call, attempt, state, reason, model: name, account, costMicroUsd } = receipt;
    const model = account === null ? name : `${name}@${account}`;
    const tokens = `${receipt.inputTokens} in, ${receipt.outputTokens} out`;
    const which = attempt === null ? 'journal' : `attempt ${attempt}`;
    const end = reason === null ? state : `${state} (${reason})`;
    yield `${startedAt}  ${chainId}  ${step} ${call}, ${which}  ${end}  ${model}  ${tokens}  ${formatCost(costMicroUsd)}\n`;
  }
}
