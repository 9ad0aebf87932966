import Table from 'cli-table3';
import type { Command } from 'commander';
import type { HoldfastClient } from '../../client/holdfast-client.js';
import type { NewSchedule, ScheduleStatus, ScheduleSummary } from '../../client/schedules.js';
import { HoldfastError } from '../../contracts/errors.js';
import { createOutput } from '../output.js';
import { readInput } from '../read-input.js';
import { withClient } from '../with-client.js';

/** Adds `schedule` with its commands. */
export function addScheduleCommand(program: Command): void {
  const schedule = program.command('schedule').description('chains that recur');
  schedule
    .command('create')
    .description('make a schedule')
    .argument('<name>', 'name of the schedule')
    .argument('<chain>', 'name of the chain that it starts')
    .option('--cron <expression>', "times as cron writes them, e.g. '0 8 * * MON-FRI'")
    .option('--every <time>', 'every 10s, 5m, 2h or 1d')
    .option('--input <file>', 'input of each chain as JSON; - reads standard input (default: {})')
    .option('--tenant <name>', 'whose work it is (default: default)')
    .option('--priority <class>', 'high, normal or low (default: normal)')
    .option('--time-zone <zone>', 'zone of --cron, e.g. Europe/Berlin (default: UTC)')
    .option('--from <time>', 'fires from this time by RFC 3339 on')
    .option('--until <time>', 'fires until this time by RFC 3339')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      "\nExample:\n  holdfast schedule create nightly analyzeDocument --cron '0 2 * * *' --time-zone Europe/Berlin --input report.json",
    )
    .action(create);
  schedule
    .command('list')
    .description('list schedules by name')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast schedule list --json')
    .action(list);
  addChange(schedule, 'describe', 'show a schedule', ({ schedules }, name) => schedules.describe(name));
  addChange(schedule, 'trigger', 'fire a schedule now', ({ schedules }, name) => schedules.trigger(name));
  addChange(schedule, 'pause', 'let a schedule not fire', ({ schedules }, name, note) => schedules.pause(name, note))
    // Kept by Temporal and shown with the schedule.
    .option('--note <text>', 'why');
  addChange(schedule, 'resume', 'let it fire again', ({ schedules }, name, note) =>
    schedules.resume(name, note),
  ).option('--note <text>', 'why');
  schedule
    .command('delete')
    .description('delete a schedule; the chains that it has started go on')
    .argument('<name>', 'name of the schedule')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  holdfast schedule delete nightly')
    .action(remove);
}

type Change = (client: HoldfastClient, name: string, note: string | undefined) => Promise<ScheduleStatus>;

function addChange(schedule: Command, name: string, description: string, change: Change): Command {
  return schedule
    .command(name)
    .description(description)
    .argument('<name>', 'name of the schedule')
    .option('--json', 'print one JSON document')
    .addHelpText('after', `\nExample:\n  holdfast schedule ${name} nightly`)
    .action(async (of: string, { json, note }: { json?: boolean; note?: string }, command: Command) => {
      const status = await withClient(command, (client) => change(client, of, note));
      createOutput(json === true).result(status, formatSchedule(status));
    });
}

interface CreateFlags extends Omit<NewSchedule, 'name' | 'chain' | 'input'> {
  readonly input?: string;
  readonly json?: boolean;
}

async function create(name: string, chain: string, flags: CreateFlags, command: Command): Promise<void> {
  const { input: file, json, ...others } = flags;
  if (others.cron === undefined && others.every === undefined) {
    throw new HoldfastError('BAD_USAGE', 'There are no times.', "Give --cron '0 8 * * *' or --every 1h.");
  }
  const input = file === undefined ? {} : await readInput(file);
  const status = await withClient(command, ({ schedules }) => schedules.create({ ...others, name, chain, input }));
  createOutput(json === true).result(status, formatSchedule(status));
}

async function list({ json }: { readonly json?: boolean }, command: Command): Promise<void> {
  const schedules = await withClient(command, (client) => client.schedules.list());
  const table = new Table({
    head: ['name', 'chain', 'tenant', 'times', 'next'],
    style: { head: [], border: [], compact: true },
  });
  for (const schedule of schedules) {
    const { name, chain, tenant, paused, next } = schedule;
    table.push([name, chain, tenant, timesOf(schedule), paused ? 'paused' : (next[0] ?? 'never again')]);
  }
  createOutput(json === true).result(schedules, schedules.length === 0 ? 'No schedules.' : table.toString());
}

async function remove(name: string, { json }: { readonly json?: boolean }, command: Command): Promise<void> {
  await withClient(command, ({ schedules }) => schedules.delete(name));
  createOutput(json === true).result({ name, deleted: true }, `${name} is deleted.`);
}

function timesOf({ cron, every, timeZone, from, until }: ScheduleSummary): string {
  return [
    cron ?? `every ${every}`,
    ...(timeZone === undefined ? [] : [timeZone]),
    ...(from === undefined ? [] : [`from ${from}`]),
    ...(until === undefined ? [] : [`until ${until}`]),
  ].join(', ');
}

function formatSchedule(status: ScheduleStatus): string {
  const { name, chain, tenant, priority, paused, note, next, recent, fired, missed } = status;
  return [
    `${name}  ${paused ? 'paused' : 'active'}${note === null ? '' : `: ${note}`}`,
    `chain ${chain}, tenant ${tenant}, priority ${priority}, ${timesOf(status)}`,
    `fired ${fired} times, missed ${missed}`,
    ...(next.length === 0 ? ['It will not fire again.'] : [`next ${next.join(', ')}`]),
    ...recent.map(({ id, scheduledAt }) => `${scheduledAt}  ${id}`),
  ].join('\n');
}
