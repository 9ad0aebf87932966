import type { Command } from 'commander';
import type { HoldfastClient } from '../../client/holdfast-client.js';
import type { PruneReport } from '../../client/prune.js';
import { HoldfastError } from '../../contracts/errors.js';
import { createOutput } from '../output.js';

interface PruneFlags {
  readonly olderThan?: string;
  readonly tenant?: string;
  readonly erase?: boolean;
  readonly cancelOpen?: boolean;
  readonly keepReceipts?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds `prune`. */
export function addPruneCommand(program: Command): void {
  program
    .command('prune')
    .description('delete chains that ended long ago, or everything of a tenant')
    .option('--older-than <duration>', 'chains that ended so long ago: 30d, 12h, 90m')
    .option('--tenant <name>', 'only of this tenant')
    .option('--erase', 'everything of the tenant, also in Temporal')
    .option('--cancel-open', 'with --erase: cancel what is open first (default: refuse)')
    .option('--keep-receipts', 'keep attempts with their tokens and costs, without what was said')
    .option('--dry-run', 'only count')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast prune --older-than 30d --dry-run\n  holdfast prune --tenant acme --erase --cancel-open',
    )
    .action(prune);
}

async function prune(flags: PruneFlags, command: Command): Promise<void> {
  const { note, result } = createOutput(flags.json === true);
  const run = whatToDo(flags);
  const { withClient } = await import('../connect.js');
  const report = await withClient(command, run);
  for (const line of report.notes) note(line);
  result(report, format(report));
}

/** Throws `BAD_USAGE` for flags that do not say one thing. */
function whatToDo({ olderThan, tenant, erase = false, cancelOpen = false, ...flags }: PruneFlags) {
  const { keepReceipts = false, dryRun = false } = flags;
  if (erase === (olderThan !== undefined)) {
    throw badUsage('prune takes either --older-than or --erase.', 'Say --older-than 30d, or --tenant NAME --erase.');
  }
  if (cancelOpen && !erase) throw badUsage('--cancel-open goes with --erase only.', 'Open chains are never pruned.');
  if (olderThan !== undefined) {
    const options = { olderThanMs: parseDuration(olderThan), keepReceipts, dryRun, ...(tenant && { tenant }) };
    return (client: HoldfastClient) => client.prune(options);
  }
  if (!tenant) throw badUsage('--erase needs --tenant.', 'Name the tenant whose data is to go.');
  return (client: HoldfastClient) => client.erase({ tenant, cancelOpen, keepReceipts, dryRun });
}

function badUsage(message: string, remedy: string): HoldfastError {
  return new HoldfastError('BAD_USAGE', message, remedy);
}

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
/** Ten years: what is longer is a slip of the finger. */
const LONGEST_MS = 3_650 * UNIT_MS.d;

/** `30d` in milliseconds. Throws `BAD_USAGE`. */
function parseDuration(text: string): number {
  const match = /^(?<count>\d+)(?<unit>[smhdw])$/.exec(text);
  const ms = Number(match?.groups?.count) * UNIT_MS[match?.groups?.unit as keyof typeof UNIT_MS];
  if (ms > 0 && ms <= LONGEST_MS) return ms;
  throw badUsage(
    `${JSON.stringify(text)} is no duration.`,
    'Write a number with s, m, h, d or w, up to ten years: 30d.',
  );
}

function format({ dryRun, chains, attempts, holds, blobs, blobBytes, closedBefore, workflows }: PruneReport): string {
  const before = closedBefore === null ? '' : ` that ended before ${closedBefore}`;
  const deleted = `${chains} chains${before}, ${attempts} attempts, ${holds} holds, ${blobs} blobs (${blobBytes} bytes)`;
  if (dryRun) return `Would prune ${deleted}. Nothing was changed.`;
  return `Pruned ${deleted}${closedBefore === null ? `, ${workflows} workflow executions in Temporal` : ''}.`;
}
