import { userInfo } from 'node:os';
import Table from 'cli-table3';
import type { Command } from 'commander';
import { PAUSE_KINDS, type PauseSelector, type PauseStatus } from '../../contracts/pauses.js';
import { createOutput } from '../output.js';
import { withClient } from '../with-client.js';

interface PauseFlags extends PauseSelector {
  readonly by?: string;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly json?: boolean;
}

/** Adds `pause`, `resume` and `pauses`. */
export function addPauseCommands(program: Command): void {
  selecting(program.command('pause').description('let no model call begin any more; open ones go on to their end'))
    .option('--by <name>', 'who orders it (default: the user of this machine)')
    .option('--reason <text>', 'why; shown by status')
    .option('--wait', 'drain: return when no call under it is open any more')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast pause --tenant acme --reason "incident 12" --wait')
    .action(pause);
  selecting(program.command('resume').description('end a pause'))
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast resume --tenant acme')
    .action(resume);
  program
    .command('pauses')
    .description('list the pauses that are in force')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast pauses --json')
    .action(list);
}

function selecting(command: Command): Command {
  return command
    .option('--tenant <name>', 'only the chains of a tenant')
    .option('--chain <chain>', 'only one chain, by its id, or all of a type')
    .option('--lane <lane>', 'only steps of a lane: fast or heavy')
    .option('--model <model>', 'only steps that use a model');
}

async function pause(flags: PauseFlags, command: Command): Promise<void> {
  const output = createOutput(flags.json === true);
  const selector = selectorOf(flags);
  const options = {
    by: flags.by ?? userInfo().username,
    ...(flags.reason === undefined ? {} : { reason: flags.reason }),
  };
  const result = await withClient(command, async (client) => {
    const paused = await client.pause(selector, options);
    if (flags.wait !== true) return paused;
    await client.drain(selector, {
      onProgress: (openCalls) => output.note(openCalls === 0 ? 'No call is open.' : `Open calls: ${openCalls}.`),
    });
    return { ...paused, pause: { ...paused.pause, openCalls: 0 } };
  });
  if (!result.isNew) output.note('It was paused before, and stays as it was.');
  output.result(result.pause, sentence(result.pause));
}

async function resume(flags: PauseFlags, command: Command): Promise<void> {
  const output = createOutput(flags.json === true);
  const { warning, ...result } = await withClient(command, (client) => client.resume(selectorOf(flags)));
  if (warning !== undefined) output.note(warning);
  output.result(result, `${nameOf(result)} goes on; chains woken: ${result.woken}.`);
}

async function list({ json }: { readonly json?: boolean }, command: Command): Promise<void> {
  const pauses = await withClient(command, (client) => client.pauses());
  const table = new Table({
    head: ['paused', 'by', 'since', 'reason', 'parked chains', 'open calls'],
    colAligns: ['left', 'left', 'left', 'left', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const pause of pauses) {
    const { by, since, reason, parkedChains, openCalls } = pause;
    table.push([nameOf(pause), by, since, reason ?? '', parkedChains, openCalls]);
  }
  createOutput(json === true).result(pauses, pauses.length === 0 ? 'Nothing is paused.' : table.toString());
}

function selectorOf(flags: PauseFlags): PauseSelector {
  return Object.fromEntries(PAUSE_KINDS.filter((kind) => flags[kind] !== undefined).map((kind) => [kind, flags[kind]]));
}

function nameOf({ kind, value }: Pick<PauseStatus, 'kind' | 'value'>): string {
  return value === null ? 'everything' : `${kind} ${value}`;
}

function sentence(pause: PauseStatus): string {
  const { by, since, reason, parkedChains, openCalls } = pause;
  const why = reason === null ? '' : `: ${reason}`;
  return `${nameOf(pause)} is paused by ${by} since ${since}${why}. Parked chains: ${parkedChains}, open calls: ${openCalls}.`;
}
