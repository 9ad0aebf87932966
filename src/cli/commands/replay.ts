import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { HoldfastClient } from '../../client/holdfast-client.js';
import { EXIT, HoldfastError } from '../../contracts/errors.js';
import type { NamedHistory } from '../../replay/read-history.js';
import type { Replayed } from '../../replay/replay-histories.js';
import { createOutput, type Output } from '../output.js';

/** Adds `replay` and `history`. */
export function addReplayCommands(program: Command): void {
  program
    .command('replay')
    .description('check that histories of chains replay with the present workflow code')
    .argument('[what]', 'id of a chain, a saved history, or a folder of them')
    .option('--all', 'every open chain: before a deploy')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nThe exit code is 1 when one differs.\n\nExamples:\n  holdfast replay --all\n  holdfast replay histories/',
    )
    .action(replay);
  program
    .command('history')
    .description('save the history of a chain as JSON, complete: with inputs, prompts, answers')
    .argument('<id>', 'id of the chain')
    .requiredOption('--save <file>', 'where to; a file that exists stays as it is')
    .option('--json', 'print one JSON document')
    .action(saveHistory);
}

async function replay(what: string | undefined, flags: { all?: boolean; json?: boolean }, command: Command) {
  if ((what === undefined) === (flags.all !== true)) {
    const remedy = 'Name one of them, or use --all.';
    throw new HoldfastError('BAD_USAGE', 'What shall be replayed: a chain, a file, a folder, or --all?', remedy);
  }
  const output = createOutput(flags.json === true);
  const [{ configOf, withClient }, { applicationOf }, { historyFiles, readHistory }, { replayHistories }] =
    await Promise.all([
      import('../connect.js'),
      import('../../connect.js'),
      import('../../replay/read-history.js'),
      import('../../replay/replay-histories.js'),
    ]);
  const { quietTemporal } = await import('../quiet-temporal.js');
  const endTemporal = quietTemporal();
  try {
    const { workflowsPath } = applicationOf(await configOf(command));
    const files = what === undefined ? undefined : await historyFiles(what);
    if (files !== undefined) {
      // Read before the first is replayed: one that is no history is found at once.
      const histories = await Promise.all(files.map(readHistory));
      return await report(output, replayHistories(workflowsPath, eachOf(histories)), []);
    }
    await withClient(command, async (client) => {
      const ids = what === undefined ? await client.openChains() : [what];
      const lost: string[] = [];
      // One chain that was asked for by its id has to be there; of all open ones some may have ended meanwhile.
      const histories = what === undefined ? fetchAll(client, ids, lost) : eachOf([await fetchOne(client, what)]);
      await report(output, replayHistories(workflowsPath, histories), lost);
    });
  } finally {
    await endTemporal();
  }
}

async function fetchOne(client: HoldfastClient, id: string): Promise<NamedHistory> {
  return { name: id, history: await client.history(id) };
}

async function* eachOf<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}

async function* fetchAll(client: HoldfastClient, ids: readonly string[], lost: string[]): AsyncGenerator<NamedHistory> {
  for (const id of ids) {
    try {
      yield await fetchOne(client, id);
    } catch (error) {
      if (!(error instanceof HoldfastError && error.code === 'CHAIN_NOT_FOUND')) throw error;
      lost.push(id);
    }
  }
}

/** Prints what differs and how many do not; the exit code says whether all replay. */
async function report(output: Output, replayed: AsyncIterable<Replayed>, lost: readonly string[]): Promise<void> {
  const differing: Omit<Replayed, 'events'>[] = [];
  let count = 0;
  for await (const { name, chain, difference } of replayed) {
    count += 1;
    if (difference !== null) differing.push({ name, chain, difference });
  }
  const lines = differing.map(({ name, chain, difference }) => `${name} (${chain}) differs. ${difference?.message}`);
  if (lost.length > 0) lines.push(`Temporal has no history of ${lost.join(', ')}.`);
  lines.push(`${count - differing.length} of ${count} replay with the present code.`);
  output.result({ replayed: count, differing, lost }, lines.join('\n'));
  if (differing.length > 0) process.exitCode = EXIT.failed;
}

async function saveHistory(id: string, { save, json }: { save: string; json?: boolean }, command: Command) {
  const [{ withClient }, { historyToJSON }] = await Promise.all([
    import('../connect.js'),
    import('@temporalio/common/lib/proto-utils.js'),
  ]);
  const history = await withClient(command, (client) => client.history(id));
  try {
    // Readable by its owner only: it holds what the model was sent and what it answered.
    await writeFile(save, `${historyToJSON(history)}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EEXIST' ? 'exists already' : `cannot be written (${code ?? String(error)})`;
    throw new HoldfastError('BAD_USAGE', `The file ${save} ${why}.`, 'Name another file.', { cause: error });
  }
  const events = history.events?.length ?? 0;
  createOutput(json === true).result({ id, file: save, events }, `${save}: ${events} events of ${id}.`);
}
