import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import type { LineResult } from '../client/submit-lines.js';
import { EXIT, HoldfastError } from '../contracts/errors.js';
import { createOutput } from './output.js';
import { printLines } from './print-lines.js';
import { unreadable } from './read-input.js';
import { withClient } from './with-client.js';

interface LinesFlags {
  readonly input?: string;
  readonly attach: readonly string[];
  readonly tenant?: string;
  readonly priority?: string;
  readonly key?: string;
  readonly at?: string;
  readonly delay?: string;
  readonly wait?: boolean;
}

const PROGRESS_MS = 1_000;
const PROGRESS_LINES = 1_000;

/** `submit --lines`: a result per line on standard output, progress and the sum on standard error. */
export async function submitLines(chain: string, file: string, flags: LinesFlags, command: Command): Promise<void> {
  for (const other of ['input', 'key', 'wait'] as const) {
    if (flags[other] === undefined) continue;
    const remedy = other === 'key' ? 'Give each line its own "key".' : 'Give one of them.';
    throw new HoldfastError('BAD_USAGE', `--lines and --${other} exclude each other.`, remedy);
  }
  if (flags.attach.length > 0) {
    throw new HoldfastError('BAD_USAGE', '--lines and --attach exclude each other.', 'Attach files to single chains.');
  }
  const { note } = createOutput(true);
  const source = file === '-' ? process.stdin : await openFile(file);
  const { tenant, priority, at, delay } = flags;
  const defaults = Object.fromEntries(
    Object.entries({ tenant, priority, at, delay }).filter(([, value]) => value !== undefined),
  );
  const tally = new Tally(note);
  const all = await withClient(command, (client) =>
    printLines(tally.count(client.submitLines(chain, source, defaults))),
  );
  if (!all) {
    // Some lines after the last one that was told are submitted, most are not: a sum would be wrong.
    note('Nobody reads the results: stopped before the last line. Submit the file again; keys prevent duplicates.');
    process.exitCode = EXIT.failed;
    return;
  }
  tally.sum();
  if (tally.refused > 0) process.exitCode = EXIT.badInput;
}

async function openFile(file: string): Promise<AsyncIterable<Uint8Array>> {
  try {
    return (await open(file)).createReadStream();
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Counts results on their way to standard output. */
class Tally {
  refused = 0;
  private total = 0;
  private duplicates = 0;
  private warned = 0;
  private warning = '';

  constructor(private readonly note: (message: string) => void) {}

  async *count(results: AsyncIterable<LineResult>): AsyncGenerator<string> {
    let noted = Date.now();
    for await (const result of results) {
      this.total += 1;
      if ('error' in result) this.refused += 1;
      else if (result.duplicate) this.duplicates += 1;
      if ('warning' in result && result.warning !== undefined) {
        this.warned += 1;
        this.warning = result.warning;
      }
      yield `${JSON.stringify(result)}\n`;
      const due = process.stderr.isTTY ? Date.now() - noted >= PROGRESS_MS : this.total % PROGRESS_LINES === 0;
      if (!due) continue;
      noted = Date.now();
      this.note(`${this.total} submitted, ${this.refused} refused …`);
    }
  }

  sum(): void {
    const { total, duplicates, refused, warned } = this;
    this.note(`${total} lines: ${total - refused} accepted (${duplicates} of them duplicates), ${refused} refused.`);
    if (warned > 0) this.note(`${warned} chains are queued and not started yet. The last of them: ${this.warning}`);
  }
}
