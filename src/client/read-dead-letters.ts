import {
  DEAD_LETTER_FIELDS,
  type DeadLetter,
  type DeadLetterCluster,
  type DeadLetterDetails,
  type DeadLetterFilter,
  type DeadLetterNote,
} from '../contracts/dead-letters.js';
import { HoldfastError } from '../contracts/errors.js';
import { MAX_NAME_CHARS, MAX_NOTE_CHARS, verdictsOf } from '../contracts/holds.js';
import { suggestedActionFor } from '../contracts/reasons.js';
import { listChainAttempts } from '../store/attempts.js';
import { type ChainHead, findChain } from '../store/chains.js';
import { readConversation } from '../store/conversations.js';
import type { Store } from '../store/database.js';
import {
  addNote,
  assignHold,
  countDeadLetters,
  type DeadLetterQuery,
  type DeadLetterRow,
  listClusters,
  listDeadLetters,
  listNotes,
  listScopeLabels,
} from '../store/dead-letters.js';
import { decisionsOf, listHolds } from '../store/holds.js';
import { parseSince } from './since.js';

const MAX_LISTED = 10_000;

/** How many at most, from 1 to 10,000. Default: 50. */
export interface DeadLetterPage {
  readonly limit?: number;
}

/** Where histories are. */
export interface HistoryPlace {
  /** Of chains whose row does not say. */
  readonly namespace: string;
  /** Of Temporal's UI; undefined when it is not known. */
  readonly uiUrl: string | undefined;
}

/** Dead letters that fit, the oldest first, and how many fit in all. */
export interface DeadLetterList {
  readonly total: number;
  readonly deadLetters: readonly DeadLetter[];
}

/** Lists dead letters. Throws `INVALID_INPUT` for a field, a time or a limit that there is not. */
export async function readDeadLetters(
  store: Store,
  filter: DeadLetterFilter,
  page: DeadLetterPage,
): Promise<DeadLetterList> {
  const query = queryOf(filter);
  const [total, rows] = await Promise.all([
    countDeadLetters(store, query),
    listDeadLetters(store, query, limitOf(page)),
  ]);
  return { total, deadLetters: rows.map(summaryOf) };
}

/** Groups dead letters by cause, the largest group first. Throws as {@link readDeadLetters} does. */
export async function readClusters(
  store: Store,
  filter: DeadLetterFilter,
  page: DeadLetterPage,
): Promise<readonly DeadLetterCluster[]> {
  const rows = await listClusters(store, queryOf(filter), limitOf(page));
  return rows.map((row) => {
    const { cluster, reason, step, model, pattern, count, first_seen, last_seen, tenants, sample } = row;
    const [id, hold, message] = sample;
    return {
      cluster,
      reason,
      step,
      model,
      message: pattern,
      suggestedAction: suggestedActionFor(row),
      count: Number(count),
      firstSeen: first_seen.toISOString(),
      lastSeen: last_seen.toISOString(),
      tenants,
      sample: { id, hold, message },
    };
  });
}

/**
 * Everything about the dead letter of a chain, nothing shortened. `holdId` is needed when the chain has several. Throws
 * `NOT_HELD` when it has none, `HOLD_NOT_FOUND`, and `INVALID_INPUT` when it must be said which.
 */
export async function readDeadLetter(
  store: Store,
  head: ChainHead,
  { namespace: own, uiUrl }: HistoryPlace,
  holdId?: string,
): Promise<DeadLetterDetails> {
  const row = await oneOpen(store, head, holdId);
  const scope = { chainId: row.chain_id, firstRunId: row.first_run_id };
  const [chain, holds, attempts, notes, scopes] = await Promise.all([
    findChain(store, row.chain_id),
    listHolds(store, row.chain_id, row.first_run_id),
    listChainAttempts(store, row.chain_id, row.first_run_id),
    listNotes(store, scope, row.id),
    listScopeLabels(store, row.chain_id),
  ]);
  const hold = holds.find(({ id }) => id === row.id);
  const namespace = head.namespace ?? own;
  const runId = attempts.at(-1)?.run_id ?? row.first_run_id;
  const path = ['namespaces', namespace, 'workflows', row.chain_id, runId, 'history'].map(encodeURIComponent).join('/');
  const url = uiUrl === undefined ? null : `${uiUrl}/${path}`;
  const continues = hold?.continues ?? null;
  const conversation = continues === null ? [] : await readConversation(store, row.tenant, continues);
  return {
    ...summaryOf(row),
    chainInput: parsed(chain?.input ?? null),
    stepInput: parsed(hold?.input ?? null),
    // Pruned while it was read.
    conversation: conversation ?? [],
    scopes: [...new Set([...(hold?.scopes ?? []), ...scopes])].sort(),
    attemptsMade: attempts
      .filter(({ step, call, kind }) => step === row.step && call === row.call && kind !== 'reuse')
      .map((attempt) => ({
        kind: attempt.kind,
        state: attempt.state,
        model: attempt.model,
        account: attempt.account,
        reason: attempt.reason,
        message: attempt.message,
        answer: attempt.answer,
        requestId: attempt.request_id,
        inputTokens: attempt.input_tokens,
        outputTokens: attempt.output_tokens,
        costMicroUsd: attempt.cost_micro_usd,
        startedAt: attempt.started_at.toISOString(),
        finishedAt: attempt.finished_at?.toISOString() ?? null,
      })),
    notes: notes.map(noteOf),
    decisions: decisionsOf(
      holds.filter(({ kind, step, call }) => kind === 'failure' && step === row.step && call === row.call),
    ),
    verdicts: verdictsOf({ kind: 'failure', skippable: hold?.skippable ?? false }),
    history: { namespace, workflowId: row.chain_id, firstRunId: row.first_run_id, runId, url },
  };
}

/** Writes a note to the dead letter of a chain; returns all of them. Throws as {@link readDeadLetter} does. */
export async function annotate(
  store: Store,
  head: ChainHead,
  note: { readonly by: string; readonly text: string },
  holdId?: string,
): Promise<readonly DeadLetterNote[]> {
  if (!isText(note.text, MAX_NOTE_CHARS))
    throw invalid('A note needs a text.', `Of at most ${MAX_NOTE_CHARS} characters.`);
  if (!isText(note.by, MAX_NAME_CHARS)) {
    throw invalid('A note needs to say who wrote it.', `In at most ${MAX_NAME_CHARS} characters.`);
  }
  const row = await oneOpen(store, head, holdId);
  const scope = { chainId: row.chain_id, firstRunId: row.first_run_id };
  await addNote(store, scope, row.id, note);
  return (await listNotes(store, scope, row.id)).map(noteOf);
}

/** Says who looks after the dead letter of a chain; nobody with null. Throws as {@link readDeadLetter} does. */
export async function assign(
  store: Store,
  head: ChainHead,
  assignee: string | null,
  holdId?: string,
): Promise<DeadLetter> {
  if (assignee !== null && !isText(assignee, MAX_NAME_CHARS)) {
    throw invalid('Who is to look after it is no name.', `Name somebody, in at most ${MAX_NAME_CHARS} characters.`);
  }
  const row = await oneOpen(store, head, holdId);
  await assignHold(store, { chainId: row.chain_id, firstRunId: row.first_run_id }, row.id, assignee);
  return summaryOf({ ...row, assignee });
}

/** The open dead letter that is meant. Throws as {@link readDeadLetter} does. */
export async function oneOpen(
  store: Store,
  { id, state }: ChainHead,
  holdId: string | undefined,
): Promise<DeadLetterRow> {
  const open = await listDeadLetters(store, { id }, MAX_LISTED);
  const ids = open.map((row) => row.id).join(', ');
  if (open.length === 0) {
    throw new HoldfastError('NOT_HELD', `${id} is ${state} and has no dead letter.`, `See \`holdfast status ${id}\`.`);
  }
  const named = holdId === undefined ? open : open.filter((row) => row.id === holdId);
  if (named.length > 1) throw invalid(`${id} has ${open.length} dead letters.`, `Name one: ${ids}.`);
  if (named[0] !== undefined) return named[0];
  throw new HoldfastError('HOLD_NOT_FOUND', `${id} has no dead letter ${holdId}.`, `Its dead letters: ${ids}.`);
}

/** The query that a filter means. Fields come from people, over HTTP and from JavaScript too. */
export function queryOf(filter: DeadLetterFilter): DeadLetterQuery {
  const fields = `Filter by: ${DEAD_LETTER_FIELDS.join(', ')}.`;
  if (typeof filter !== 'object' || filter === null || Array.isArray(filter)) {
    throw invalid('A filter is an object.', fields);
  }
  for (const [field, value] of Object.entries(filter)) {
    if (!(DEAD_LETTER_FIELDS as readonly string[]).includes(field)) {
      throw invalid(`Dead letters have no ${JSON.stringify(field)}.`, fields);
    }
    // Also undefined: with a field that somebody forgot to set, it would be all of them.
    if (typeof value !== 'string' || value.includes('\0')) {
      throw invalid(
        `The ${field} to filter by is to be a text without NUL characters.`,
        'Correct it, or leave it out.',
      );
    }
  }
  const { since, before, ...same } = filter;
  return {
    ...same,
    ...(since === undefined ? {} : { openedFrom: parseSince(since) }),
    ...(before === undefined ? {} : { openedBefore: parseSince(before) }),
  };
}

function limitOf({ limit = 50 }: DeadLetterPage): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LISTED) return limit;
  throw invalid(`The limit ${limit} is none.`, `Use a whole number from 1 to ${MAX_LISTED}.`);
}

function isText(value: unknown, most: number): boolean {
  return typeof value === 'string' && value.trim() !== '' && value.length <= most;
}

function invalid(message: string, remedy: string): HoldfastError {
  return new HoldfastError('INVALID_INPUT', message, remedy);
}

function parsed(json: string | null): unknown {
  return json === null ? null : JSON.parse(json);
}

function noteOf(row: Awaited<ReturnType<typeof listNotes>>[number]): DeadLetterNote {
  return { at: row.written_at.toISOString(), by: row.written_by, text: row.text };
}

/** What lists show of a dead letter. */
export function summaryOf(row: DeadLetterRow): DeadLetter {
  return {
    id: row.chain_id,
    hold: row.id,
    chain: row.type,
    tenant: row.tenant,
    priority: row.priority,
    key: row.key,
    title: row.title,
    step: row.step,
    call: row.call,
    model: row.model,
    reason: row.reason,
    message: row.message,
    suggestedAction: suggestedActionFor(row),
    heldAt: row.opened_at.toISOString(),
    cluster: row.cluster,
    assignee: row.assignee,
    attempts: Number(row.attempts),
    costMicroUsd: row.cost_micro_usd,
  };
}
