import { type Insertable, type Selectable, sql } from 'kysely';
import type { Lane } from '../contracts/lanes.js';
import type { TokenUsage } from '../contracts/models.js';
import type { ReasonCode } from '../contracts/reasons.js';
import { insertBlobs } from './blobs.js';
import { type Store, storable } from './database.js';
import { CallParkedError, type ParkedCall, parkCall } from './parked.js';
import { pauseOver } from './pauses.js';
import type { AttemptState, AttemptTable } from './schema.js';

export type AttemptRow = Selectable<AttemptTable>;

/** Names one call in the journal: stable over retries, resets and continueAsNew. */
export interface JournalKey {
  readonly chainId: string;
  readonly firstRunId: string;
  readonly step: string;
  readonly inputHash: string;
  readonly occurrence: number;
  readonly revision: number;
}

function matching({ db }: Store, key: JournalKey) {
  return db
    .selectFrom('attempt')
    .selectAll()
    .where('chain_id', '=', key.chainId)
    .where('first_run_id', '=', key.firstRunId)
    .where('step', '=', key.step)
    .where('input_hash', '=', key.inputHash)
    .where('occurrence', '=', key.occurrence)
    .where('revision', '=', key.revision);
}

/** The latest success of a call, or undefined. */
export function findSuccess(store: Store, key: JournalKey): Promise<AttemptRow | undefined> {
  return matching(store, key)
    .where('state', '=', 'succeeded')
    .where('kind', '!=', 'reuse')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** All model calls of one step call, oldest first. */
export function listAttempts(store: Store, key: JournalKey): Promise<AttemptRow[]> {
  return matching(store, key).where('kind', '!=', 'reuse').orderBy('id').execute();
}

/** All attempts of a chain, reuses included, oldest first. Not those of a chain that had its workflow id before it. */
export function listChainAttempts({ db }: Store, chainId: string, firstRunId: string): Promise<AttemptRow[]> {
  return db
    .selectFrom('attempt')
    .selectAll()
    .where('chain_id', '=', chainId)
    .where('first_run_id', '=', firstRunId)
    .orderBy('id')
    .execute();
}

/** Whether a chain has finished a step. */
export async function hasFinishedStep({ db }: Store, chainId: string, firstRunId: string): Promise<boolean> {
  const row = await db
    .selectFrom('attempt')
    .select('id')
    .where('chain_id', '=', chainId)
    .where('first_run_id', '=', firstRunId)
    .where('state', '=', 'succeeded')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

export type NewAttempt = Omit<Insertable<AttemptTable>, 'id' | 'state' | 'started_at' | 'finished_at' | 'result'>;

/**
 * Writes the row of a call that is about to be made; returns its id, or undefined when the call is open elsewhere or has
 * succeeded meanwhile. Of two workers that ask at once, one gets the row. Throws `CallParkedError` when a pause is in the
 * way: the call is parked instead.
 */
export async function openAttempt(store: Store, attempt: NewAttempt): Promise<number | undefined> {
  const { rows } = await sql<{ id: number | null; is_paused: boolean }>`
    SELECT id, is_paused FROM attempt_open(${JSON.stringify(attempt)}::jsonb)`.execute(store.db);
  const { id, is_paused } = rows[0]!;
  return is_paused ? openUnderPause(store, attempt) : (id ?? undefined);
}

/** The same where there is a pause, of this call or of others. */
async function openUnderPause(store: Store, attempt: NewAttempt): Promise<number | undefined> {
  const opened = await store.db.transaction().execute(async (trx) => {
    // An index allows one open attempt per call. The success of an earlier one is looked for afterwards: what was open
    // before this row could be written has ended, and that can be seen now.
    const row = await trx
      .insertInto('attempt')
      .values({ ...attempt, state: 'open' })
      .onConflict((conflict) => conflict.doNothing())
      .returning('id')
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const withdraw = () => trx.deleteFrom('attempt').where('id', '=', row.id).execute();
    if ((await findSuccess({ ...store, db: trx }, keyOf(attempt))) !== undefined) {
      await withdraw();
      return undefined;
    }
    // After the row as well: who drains waits for the transactions that were open when the pause came, and then either
    // sees the row, or the pause was seen here.
    const cause = await pauseOver(trx, attempt.chain_id, attempt);
    if (cause === undefined || !(await parkCall(trx, parkedCallOf(attempt), cause))) return row.id;
    await withdraw();
    return cause;
  });
  if (typeof opened === 'object') throw new CallParkedError(opened.text);
  return opened;
}

function parkedCallOf({ chain_id, first_run_id, step, call }: NewAttempt): ParkedCall {
  return { chainId: chain_id, firstRunId: first_run_id, step, call };
}

function keyOf(attempt: NewAttempt): JournalKey {
  return {
    chainId: attempt.chain_id,
    firstRunId: attempt.first_run_id,
    step: attempt.step,
    inputHash: attempt.input_hash,
    occurrence: attempt.occurrence,
    revision: attempt.revision as number,
  };
}

/** Whether an attempt was opened longer ago than this, in milliseconds, by the store's own clock. */
export async function isOlderThan({ db }: Store, id: number, ms: number): Promise<boolean> {
  const row = await db
    .selectFrom('attempt')
    .select(sql<boolean>`now() - started_at > make_interval(secs => ${ms / 1000})`.as('older'))
    .where('id', '=', id)
    .executeTakeFirst();
  return row?.older ?? true;
}

/** What a call cost, and the provider's name for it. */
export interface AttemptBill {
  readonly usage: TokenUsage | undefined;
  readonly costMicroUsd: number | null;
  readonly requestId: string | null;
}

function billed(bill: AttemptBill) {
  const { usage } = bill;
  return {
    request_id: bill.requestId,
    cost_micro_usd: bill.costMicroUsd,
    input_tokens: usage?.inputTokens ?? 0,
    output_tokens: usage?.outputTokens ?? 0,
    cache_read_tokens: usage?.cacheReadTokens ?? 0,
    cache_write_5m_tokens: usage?.cacheWrite5mTokens ?? 0,
    cache_write_1h_tokens: usage?.cacheWrite1hTokens ?? 0,
    finished_at: new Date(),
  };
}

/** Writes the success of a call together with the turns it added, at least one: both or none. `result` is JSON. */
export async function succeedAttempt(
  { db }: Store,
  id: number,
  success: AttemptBill & { readonly tenant: string; readonly turns: readonly Buffer[]; readonly result: string },
): Promise<void> {
  // One statement: a transaction of two would be four round trips.
  await db
    .with('turn', (cte) => insertBlobs(cte, success.tenant, success.turns))
    .updateTable('attempt')
    .set({ state: 'succeeded', reason: null, message: null, result: success.result, ...billed(success) })
    .where('id', '=', id)
    .execute();
}

/** Writes how a call ended otherwise. `spent`: it counts against the lane's retries. */
export async function endAttempt(
  { db }: Store,
  id: number,
  end: AttemptBill & {
    readonly state: Exclude<AttemptState, 'open' | 'succeeded'>;
    readonly spent: boolean;
    readonly reason: ReasonCode | null;
    readonly message: string | null;
    readonly answer?: string;
  },
): Promise<void> {
  await db
    .updateTable('attempt')
    .set({
      state: end.state,
      spent: end.spent,
      reason: end.reason,
      message: end.message === null ? null : storable(end.message),
      answer: end.answer === undefined ? null : storable(end.answer),
      ...billed(end),
    })
    .where('id', '=', id)
    .execute();
}

/** Writes that the worker of an open call is gone: the call may have been paid, and its receipt says so. */
export async function interruptAttempt({ db }: Store, id: number): Promise<void> {
  await db
    .updateTable('attempt')
    .set({
      state: 'interrupted',
      reason: 'worker_lost',
      message: 'The worker died while the call was open; the provider may have charged for it.',
      // What nobody was told of counts as nothing in sums; the message says that it may be more.
      cost_micro_usd: 0,
      finished_at: new Date(),
    })
    .where('id', '=', id)
    .where('state', '=', 'open')
    .execute();
}

/** Writes, once per run, that a call was answered from the journal: a receipt over nothing paid. */
export async function recordReuse({ db }: Store, success: AttemptRow, runId: string): Promise<void> {
  const { id: _, ...row } = success;
  await db
    .insertInto('attempt')
    .values({
      ...row,
      run_id: runId,
      kind: 'reuse',
      spent: false,
      worker: null,
      request_id: null,
      input_tokens: 0,
      output_tokens: 0,
      cache_read_tokens: 0,
      cache_write_5m_tokens: 0,
      cache_write_1h_tokens: 0,
      cost_micro_usd: 0,
      result: null,
      started_at: new Date(),
      finished_at: new Date(),
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Writes the result that a person gave for a call, with the turns it adds, at least one: both or none. */
export async function recordResolution(
  { db }: Store,
  key: JournalKey,
  resolution: {
    readonly tenant: string;
    readonly runId: string;
    readonly call: number;
    readonly round: number;
    readonly model: string;
    readonly lane: Lane;
    readonly quotaGroup: string;
    readonly promptHash: string;
    readonly turns: readonly Buffer[];
    /** JSON. */
    readonly result: string;
  },
): Promise<void> {
  await db
    .with('turn', (cte) => insertBlobs(cte, resolution.tenant, resolution.turns))
    .insertInto('attempt')
    .values({
      chain_id: key.chainId,
      tenant: resolution.tenant,
      first_run_id: key.firstRunId,
      run_id: resolution.runId,
      step: key.step,
      input_hash: key.inputHash,
      occurrence: key.occurrence,
      revision: key.revision,
      call: resolution.call,
      round: resolution.round,
      kind: 'resolve',
      state: 'succeeded',
      spent: false,
      worker: null,
      model: resolution.model,
      account: null,
      lane: resolution.lane,
      quota_group: resolution.quotaGroup,
      prompt_hash: resolution.promptHash,
      request_id: null,
      reason: null,
      message: null,
      input_tokens: 0,
      output_tokens: 0,
      cache_read_tokens: 0,
      cache_write_5m_tokens: 0,
      cache_write_1h_tokens: 0,
      cost_micro_usd: 0,
      answer: null,
      result: resolution.result,
      finished_at: new Date(),
    })
    .execute();
}

/** How many of the latest attempts are looked at for {@link latestOutputs}. */
const LATEST = 5_000;

/** What the latest successful calls wrote, in tokens, oldest first. */
export async function latestOutputs({ db }: Store): Promise<{ model: string; step: string; output: number }[]> {
  return db
    .selectFrom('attempt')
    .select(['model', 'step', 'output_tokens as output'])
    .where('id', '>', ({ selectFrom, fn, lit, eb }) =>
      eb(
        fn.coalesce(
          selectFrom('attempt').select(({ fn }) => fn.max('id').as('last')),
          lit(0),
        ),
        '-',
        LATEST,
      ),
    )
    .where('state', '=', 'succeeded')
    .where('kind', 'not in', ['reuse', 'resolve'])
    .orderBy('id')
    .execute();
}
