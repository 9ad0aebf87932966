import { userInfo } from 'node:os';
import Table from 'cli-table3';
import { type Command, InvalidArgumentError } from 'commander';
import type { RetryAllPlan, RetryAllReport } from '../../client/retry-all.js';
import type { DeadLetterDetails, DeadLetterFilter } from '../../contracts/dead-letters.js';
import { EXIT, HoldfastError } from '../../contracts/errors.js';
import type { HoldVerdict, StepEdit } from '../../contracts/holds.js';
import { createOutput, formatCost } from '../output.js';
import { readInput, readText } from '../read-input.js';
import { untilStopped } from '../until-stopped.js';
import { withClient } from '../with-client.js';
import { addEscalateCommand } from './escalate.js';

interface Asking {
  readonly json?: boolean;
}

interface Listing extends DeadLetterFilter, Asking {
  readonly limit?: number;
}

interface Deciding extends Asking {
  readonly hold?: string;
  readonly by?: string;
  readonly reason?: string;
}

/** Adds `dead-letters` with all that can be done with them. */
export function addDeadLettersCommand(program: Command): void {
  const group = program.command('dead-letters').description('steps that cannot go on until somebody decides');
  paged(filtering(group.command('list').description('list them, the oldest first')))
    .addHelpText('after', '\nExample:\n  holdfast dead-letters list --reason refusal --since 2d --json')
    .action(list);
  paged(filtering(group.command('clusters').description('group them by cause, the largest group first')))
    .addHelpText('after', '\nExample:\n  holdfast dead-letters clusters --tenant acme')
    .action(clusters);
  group
    .command('show')
    .description('everything about one: input, conversation, attempts, notes')
    .argument('<id>', 'id of the chain')
    .option('--hold <hold>', 'which one, when the chain has several')
    .option('--json', 'print one JSON document')
    .addHelpText('after', `\nExample:\n  holdfast dead-letters show ${EXAMPLE_ID}`)
    .action(show);
  deciding(group.command('retry').description('send the step on its way again, as it was or edited'))
    .option('--edit <file>', `a JSON object with what is to change: ${EDITS}; - reads standard input`)
    .option('--input <file>', 'edit: another input of the step, as JSON')
    .option('--prompt <file>', 'edit: another text of the prompt')
    .option('--model <model>', 'edit: another model')
    .option('--account <name>', 'edit: another configured account')
    .option('--max-tokens <number>', 'edit: the most output tokens', count)
    .addHelpText(
      'after',
      `\nExample:\n  holdfast dead-letters retry ${EXAMPLE_ID} --max-tokens 8000 --reason "answers are longer now"`,
    )
    .action(retry);
  filtering(group.command('retry-all').description('send all that fit on their way again, one of each cluster first'))
    .option('--all', 'every dead letter there is')
    .option('--edit <file>', `a JSON object with what is to change: ${EDITS}; - reads standard input`)
    .option('--why <text>', 'why; kept with each decision, and needed with an edit')
    .option('--by <name>', 'who decides (default: the user of this machine)')
    .option(
      '--at-once <number>',
      'how many are on their way at once; the rest of the quota is for live work (default: 10)',
      count,
    )
    .option('--dry-run', 'only say how many there are, and about what they would cost')
    .addHelpText('after', '\nExample:\n  holdfast dead-letters retry-all --cluster 5f2b61c07d1e --dry-run')
    .action(retryAll);
  deciding(group.command('resolve').description("give the step's result by hand; its schema checks it"))
    .requiredOption('--result <file>', 'the result as JSON; - reads standard input')
    .addHelpText(
      'after',
      `\nExample:\n  holdfast dead-letters resolve ${EXAMPLE_ID} --result result.json --reason "by phone"`,
    )
    .action(resolve);
  deciding(group.command('skip').description('let the chain go on without the step, where its author allows it'))
    .addHelpText('after', `\nExample:\n  holdfast dead-letters skip ${EXAMPLE_ID} --reason "the source is gone"`)
    .action((id: string, flags: Deciding, command: Command) => decide(id, 'skip', undefined, flags, command));
  deciding(group.command('cancel').description('cancel the chain; who did it and why stays with it'))
    .addHelpText('after', `\nExample:\n  holdfast dead-letters cancel ${EXAMPLE_ID} --reason "the order was withdrawn"`)
    .action((id: string, flags: Deciding, command: Command) => decide(id, 'cancel', undefined, flags, command));
  group
    .command('assign')
    .description('say who looks after it')
    .argument('<id>', 'id of the chain')
    .option('--to <name>', 'who (default: nobody any more)')
    .option('--hold <hold>', 'which one, when the chain has several')
    .option('--json', 'print one JSON document')
    .addHelpText('after', `\nExample:\n  holdfast dead-letters assign ${EXAMPLE_ID} --to ann`)
    .action(assign);
  deciding(group.command('annotate').description('write a note for whoever comes next; --reason is its text'))
    .addHelpText('after', `\nExample:\n  holdfast dead-letters annotate ${EXAMPLE_ID} --reason "asked the provider"`)
    .action(annotate);
  addEscalateCommand(group);
}

const EDITS = 'input, prompt, system, model, account, maxTokens, lane, priority, dropTurns, summary';
const EXAMPLE_ID = 'analyzeDocument-01a1fc8e-5110-76ab-91e8-12a6dad8802f';

function filtering(command: Command): Command {
  return command
    .option('--id <id>', 'only those of one chain')
    .option('--cluster <cluster>', 'only those of a cluster')
    .option('--reason <code>', 'only those with a reason, e.g. refusal')
    .option('--step <step>', 'only those of a step')
    .option('--model <model>', 'only those of a model')
    .option('--chain <chain>', 'only those of a type of chain')
    .option('--tenant <name>', 'only those of a tenant')
    .option('--assignee <name>', 'only those that somebody looks after')
    .option('--since <time>', 'held since then: a time, or how long ago (30s, 10m, 2h, 7d)')
    .option('--before <time>', 'held before then')
    .option('--text <text>', "only those with a text in the message, or in the chain's title or key")
    .option('--json', 'print one JSON document');
}

function paged(command: Command): Command {
  return command.option('--limit <number>', 'how many at most (default: 50)', count);
}

function deciding(command: Command): Command {
  return command
    .argument('<id>', 'id of the chain')
    .option('--hold <hold>', 'which one, when the chain has several')
    .option('--reason <text>', 'why; kept with it')
    .option('--by <name>', 'who does it (default: the user of this machine)')
    .option('--json', 'print one JSON document');
}

function count(text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new InvalidArgumentError('It is no whole number above 0.');
}

async function list({ limit, json, ...filter }: Listing, command: Command): Promise<void> {
  const page = limit === undefined ? {} : { limit };
  const found = await withClient(command, (client) => client.deadLetters.list(filter, page));
  const table = new Table({
    head: ['id', 'step', 'reason', 'model', 'tenant', 'held', 'cluster', 'cost'],
    colAligns: ['left', 'left', 'left', 'left', 'left', 'left', 'left', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const { id, step, reason, model, tenant, heldAt, cluster, costMicroUsd } of found.deadLetters) {
    table.push([id, step, reason, model ?? '', tenant, heldAt, cluster, formatCost(costMicroUsd)]);
  }
  const shown = found.deadLetters.length;
  const more = shown < found.total ? `\n${found.total} in all; these are the ${shown} oldest.` : '';
  createOutput(json === true).result(found, shown === 0 ? 'No dead letters.' : `${table.toString()}${more}`);
}

async function clusters({ limit, json, ...filter }: Listing, command: Command): Promise<void> {
  const page = limit === undefined ? {} : { limit };
  const found = await withClient(command, (client) => client.deadLetters.clusters(filter, page));
  const text = found.map((one) =>
    [
      `${one.cluster}  ${one.count} × ${one.step}: ${one.reason}${one.model === null ? '' : ` (${one.model})`}`,
      `  ${one.message}`,
      `  ${one.firstSeen} to ${one.lastSeen}; tenants: ${one.tenants.join(', ')}; e.g. ${one.sample.id}`,
      `  ${one.suggestedAction}`,
    ].join('\n'),
  );
  createOutput(json === true).result(found, text.length === 0 ? 'No dead letters.' : text.join('\n'));
}

async function show(id: string, { hold, json }: Deciding, command: Command): Promise<void> {
  const found = await withClient(command, (client) => client.deadLetters.show(id, hold));
  createOutput(json === true).result(found, textOf(found));
}

function textOf(letter: DeadLetterDetails): string {
  const { history, verdicts } = letter;
  return [
    `${letter.id} ${letter.hold}: ${letter.reason} at ${letter.step}, ${letter.heldAt}`,
    letter.message,
    letter.suggestedAction,
    '',
    `chain    ${letter.chain} of ${letter.tenant}, ${letter.priority}${letter.title === null ? '' : `: ${letter.title}`}`,
    `cost     ${formatCost(letter.costMicroUsd)}`,
    `cluster  ${letter.cluster}`,
    ...(letter.assignee === null ? [] : [`assignee ${letter.assignee}`]),
    ...letter.scopes.map((scope) => `scope    ${scope}`),
    `history  holdfast history ${history.workflowId} (run ${history.runId})`,
    ...(history.url === null ? [] : [`         ${history.url}`]),
    `decide   ${verdicts.map((verdict) => `holdfast dead-letters ${verdict} ${letter.id} --hold ${letter.hold}`).join('\n         ')}`,
    '',
    `input of the step: ${JSON.stringify(letter.stepInput)}`,
    ...letter.conversation.map(({ role, content }) => `${role}: ${content.map(blockText).join('')}`),
    ...letter.attemptsMade.map(
      ({ startedAt, state, reason, message, requestId, model, account }) =>
        `${startedAt} ${model}${account === null ? '' : `@${account}`} ${state}${reason === null ? '' : ` ${reason}`}${requestId === null ? '' : ` (${requestId})`}${message === null ? '' : `: ${message}`}`,
    ),
    ...letter.decisions.map(
      ({ at, by, verdict, note = '', edit }) =>
        `${at} ${by}: ${verdict}${edit === undefined ? '' : ` with ${JSON.stringify(edit)}`} ${note}`,
    ),
    ...letter.notes.map(({ at, by, text }) => `${at} ${by}: ${text}`),
  ].join('\n');
}

function blockText(block: DeadLetterDetails['conversation'][number]['content'][number]): string {
  return block.type === 'text' ? block.text : `[${block.type} ${block.blob}]`;
}

interface Editing extends Deciding, Pick<StepEdit, 'model' | 'maxTokens'> {
  readonly account?: string;
  readonly edit?: string;
  readonly input?: string;
  readonly prompt?: string;
}

async function retry(id: string, flags: Editing, command: Command): Promise<void> {
  const { edit: file, input, prompt, model, account, maxTokens } = flags;
  const edit = {
    ...(file === undefined ? {} : await readEdit(file)),
    ...(input === undefined ? {} : { input: await readInput(input) }),
    ...(prompt === undefined ? {} : { prompt: await readText(prompt) }),
    ...(model === undefined ? {} : { model }),
    ...(account === undefined ? {} : { account }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
  const isEdit = file !== undefined || Object.keys(edit).length > 0;
  await decide(id, 'retry', isEdit ? edit : undefined, flags, command);
}

interface RetryingAll extends Omit<Listing, 'limit'> {
  readonly all?: boolean;
  readonly edit?: string;
  readonly why?: string;
  readonly by?: string;
  readonly atOnce?: number;
  readonly dryRun?: boolean;
}

async function retryAll(flags: RetryingAll, command: Command): Promise<void> {
  const { all, edit, why, by = userInfo().username, atOnce, dryRun, json, ...filter } = flags;
  if (all !== true && Object.keys(filter).length === 0) {
    throw new HoldfastError(
      'BAD_USAGE',
      'retry-all needs to know which ones.',
      'Say --cluster, another filter, or --all.',
    );
  }
  const output = createOutput(json === true);
  if (dryRun === true) {
    const plan = await withClient(command, (client) => client.deadLetters.planRetryAll(filter));
    output.result(plan, planText(plan));
    return;
  }
  const { signal } = untilStopped();
  const options = {
    by,
    signal,
    onProgress: everySecond((report: RetryAllReport) => output.note(reportText(report))),
    ...(why === undefined ? {} : { note: why }),
    ...(edit === undefined ? {} : { edit: (await readEdit(edit)) as StepEdit }),
    ...(atOnce === undefined ? {} : { atOnce }),
  };
  const report = await withClient(command, (client) => client.deadLetters.retryAll(filter, options));
  output.result(report, reportText(report));
  if (report.succeeded < report.total - report.gone) process.exitCode = EXIT.held;
}

/** Tells at most once a second: ten thousand lines say no more than a hundred. */
function everySecond<Value>(tell: (value: Value) => void): (value: Value) => void {
  let told = Date.now();
  return (value) => {
    if (Date.now() - told < 1_000) return;
    told = Date.now();
    tell(value);
  };
}

function planText({ total, clusters: planned, costMicroUsd }: RetryAllPlan): string {
  const cost = (micro: number | null): string => (micro === null ? 'cost unknown' : `about ${formatCost(micro)}`);
  return [
    ...planned.map((one) => `${one.cluster}  ${one.count} × ${one.step}: ${one.reason}, ${cost(one.costMicroUsd)}`),
    `${total} dead letters, ${cost(costMicroUsd)}.`,
  ].join('\n');
}

function reportText({ total, retried, onTheWay, succeeded, heldAgain, gone, leftAlone }: RetryAllReport): string {
  const left = leftAlone.length === 0 ? '' : `; left alone: ${leftAlone.join(', ')}`;
  const others = gone === 0 ? '' : `, ${gone} decided elsewhere`;
  const open = onTheWay === 0 ? '' : `, ${onTheWay} on their way`;
  return `${retried} of ${total} retried: ${succeeded} succeeded, ${heldAgain} held again${open}${others}${left}`;
}

async function readEdit(file: string): Promise<object> {
  const edit = await readInput(file);
  if (typeof edit === 'object' && edit !== null && !Array.isArray(edit)) return edit;
  throw new HoldfastError('INVALID_INPUT', 'An edit is a JSON object.', 'For example: {"maxTokens": 8000}.');
}

async function resolve(id: string, flags: Deciding & { readonly result: string }, command: Command): Promise<void> {
  await decide(id, 'resolve', await readInput(flags.result), flags, command);
}

async function decide(
  id: string,
  verdict: HoldVerdict,
  edit: unknown,
  { hold, by = userInfo().username, reason, json }: Deciding,
  command: Command,
): Promise<void> {
  const output = createOutput(json === true);
  const decision = {
    verdict,
    by,
    ...(reason === undefined ? {} : { note: reason }),
    ...(edit === undefined ? {} : { edit }),
  };
  const { warning, ...result } = await withClient(command, (client) => client.decide(id, decision, hold));
  if (warning !== undefined) output.note(warning);
  output.result(result, result.holds.map((one) => `${id}: ${verdict} ${one.id}.`).join('\n'));
}

async function assign(id: string, flags: Asking & { readonly to?: string; readonly hold?: string }, command: Command) {
  const { to = null, hold, json } = flags;
  const letter = await withClient(command, (client) => client.deadLetters.assign(id, to, hold));
  createOutput(json === true).result(letter, `${id} ${letter.hold}: ${to === null ? 'nobody' : to} looks after it.`);
}

async function annotate(id: string, flags: Deciding, command: Command): Promise<void> {
  const { hold, by = userInfo().username, reason: text = '', json } = flags;
  const notes = await withClient(command, (client) => client.deadLetters.annotate(id, { by, text }, hold));
  createOutput(json === true).result(notes, notes.map((note) => `${note.at} ${note.by}: ${note.text}`).join('\n'));
}
