import { type Selectable, sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { type ClosedState, DEFAULT_TENANT } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import { DEFAULT_PRIORITY, type Priority } from '../contracts/priority.js';
import type { ScopeKey } from '../contracts/scopes.js';
import { chainSpanContext, traceParentOf } from '../telemetry/trace-context.js';
import { type Store, storable } from './database.js';
import { WITHDRAWN } from './holds.js';
import type { ChainTable } from './schema.js';
import { claimScopes, releaseChainScopes } from './scopes.js';

export type ChainRow = Selectable<ChainTable>;

export interface NewChain {
  readonly type: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly key?: string;
  readonly contentHash: string;
  /** JSON. */
  readonly input: string;
  readonly title?: string;
  /** Temporal namespace that is to run it. */
  readonly namespace?: string;
  /** W3C `traceparent` of the span that submits it. */
  readonly traceParent?: string;
  /** What the chain takes before its function begins: it stands in line from its submission on. */
  readonly scopes?: readonly ScopeKey[];
  /** When it is to start. Default: at once. */
  readonly startAt?: Date;
  /** Whether it joins, and lets itself be joined by, identical content in flight. Default: true. */
  readonly join?: boolean;
  /** For so long after its end identical content is answered with it, in milliseconds. Default: not at all. */
  readonly reuseForMs?: number;
}

/**
 * Writes the row of a new chain, or finds the one that it duplicates: the same key at any time, or, without a key,
 * identical content in flight or, where that is declared, completed not long ago. Two at once get one row. Throws
 * `KEY_CONFLICT` for a key that another input has used.
 */
export async function insertChain({ db }: Store, chain: NewChain): Promise<InsertedChain> {
  const { scopes } = chain;
  if (scopes === undefined) return insertRow(db, chain);
  return db.transaction().execute(async (trx) => {
    const inserted = await insertRow(trx, chain);
    const { row, duplicate } = inserted;
    const claim = { chainId: row.id, priority: row.priority, keys: scopes };
    if (!duplicate) await claimScopes({ db: trx }, claim, { asked: false });
    return inserted;
  });
}

interface InsertedChain {
  readonly row: ChainRow;
  readonly duplicate: boolean;
}

async function insertRow(db: Store['db'], chain: NewChain): Promise<InsertedChain> {
  const values = {
    id: `${chain.type}-${uuidv7()}`,
    type: chain.type,
    tenant: chain.tenant,
    priority: chain.priority,
    key: chain.key ?? null,
    content_hash: chain.contentHash,
    input: chain.input,
    title: chain.title === undefined ? null : storable(chain.title),
    namespace: chain.namespace ?? null,
    trace_parent: chain.traceParent ?? null,
    scoped: chain.scopes !== undefined,
    start_at: chain.startAt ?? null,
    reuse_ms: chain.reuseForMs ?? null,
    state: 'queued' as const,
  };
  const { join = true } = chain;
  const same = db.selectFrom('chain').selectAll().where('tenant', '=', chain.tenant).where('type', '=', chain.type);
  if (chain.key === undefined && chain.startAt === undefined && chain.reuseForMs !== undefined) {
    const done = await same
      .where('content_hash', '=', chain.contentHash)
      .where('reuse_ms', 'is not', null)
      .where('state', '=', 'completed')
      .where('pruned_at', 'is', null)
      // The shorter of both times: nobody is answered with what is older than either of them wanted.
      .where('closed_at', '>', sql<Date>`now() - least(reuse_ms, ${chain.reuseForMs}) * interval '1 millisecond'`)
      .orderBy('closed_at', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (done !== undefined) return { row: done, duplicate: true };
  }
  // Each turn either writes or finds; another one is needed only when what stood in the way closes in between.
  for (;;) {
    const inserted = await db
      .insertInto('chain')
      .values({ ...values, content_slot: join })
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst();
    if (inserted !== undefined) return { row: inserted, duplicate: false };
    if (chain.key === undefined) {
      const twin = await same
        .where('content_hash', '=', chain.contentHash)
        .where('content_slot', '=', true)
        .executeTakeFirst();
      if (twin !== undefined) return { row: twin, duplicate: true };
      continue;
    }
    const first = await same.where('key', '=', chain.key).executeTakeFirst();
    if (first !== undefined) return { row: sameInput(first, chain), duplicate: true };
    // Another key has the same content in flight: two intents, so two chains; only one of them can be joined.
    const apart = await db
      .insertInto('chain')
      .values({ ...values, content_slot: false })
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst();
    if (apart !== undefined) return { row: apart, duplicate: false };
  }
}

function sameInput(first: ChainRow, chain: NewChain): ChainRow {
  // Null: its row was written anew after a restore in which its input was lost. The key is then all that there is.
  if (first.content_hash === chain.contentHash || first.content_hash === null) return first;
  throw new HoldfastError(
    'KEY_CONFLICT',
    `Key ${JSON.stringify(chain.key)} belongs to ${first.id}, which was submitted with another input at ${first.created_at.toISOString()}.`,
    `Use another key, or see the first one with \`holdfast status ${first.id}\`.`,
  );
}

/** The row of a chain, or undefined. */
export function findChain({ db }: Store, id: string): Promise<ChainRow | undefined> {
  return db.selectFrom('chain').selectAll().where('id', '=', id).executeTakeFirst();
}

/** A chain without its input and output, which may be large: for what is asked often. */
export type ChainHead = Omit<ChainRow, 'input' | 'output' | 'pruned_at' | 'scoped' | 'reuse_ms'>;

const HEAD = [
  'id',
  'type',
  'tenant',
  'priority',
  'key',
  'content_hash',
  'content_slot',
  'title',
  'state',
  'message',
  'first_run_id',
  'namespace',
  'created_at',
  'started_at',
  'closed_at',
  'closed_run_id',
  'checked_at',
  'trace_parent',
  'start_at',
] as const satisfies readonly (keyof ChainHead)[];

/** The head of a chain, or undefined. */
export function findChainHead({ db }: Store, id: string): Promise<ChainHead | undefined> {
  return db.selectFrom('chain').select(HEAD).where('id', '=', id).executeTakeFirst();
}

/** The heads of those chains that have ended or are held. */
export function findChainNews({ db }: Store, ids: readonly string[]): Promise<ChainHead[]> {
  return db
    .selectFrom('chain')
    .select(HEAD)
    .where('id', '=', sql<string>`ANY(${ids})`)
    .where((eb) => eb.or([eb('closed_at', 'is not', null), eb('state', '=', 'held')]))
    .execute();
}

/** Whether a chain was closed before its workflow began: whatever runs under its id now is to stop. */
export function wasClosedBeforeStart(chain: Pick<ChainHead, 'closed_at' | 'first_run_id'>): boolean {
  return chain.closed_at !== null && chain.first_run_id === null;
}

/** Writes that the workflow of a chain runs; does nothing, and returns nothing, once the chain is past `queued`. */
export async function markStarted(
  { db }: Store,
  id: string,
  firstRunId: string | null,
): Promise<ChainHead | undefined> {
  return db
    .updateTable('chain')
    .set({ state: 'running', started_at: new Date(), first_run_id: firstRunId, message: null })
    .where('id', '=', id)
    .where('state', '=', 'queued')
    .returning(HEAD)
    .executeTakeFirst();
}

/**
 * Writes that the workflow of a queued chain waits in Temporal for its time: the sweeper leaves it alone until then, and
 * then makes sure that it runs. Returns nothing once the chain is past `queued`.
 */
export async function markDelayed({ db }: Store, id: string): Promise<ChainHead | undefined> {
  return db
    .updateTable('chain')
    .set((eb) => ({ checked_at: eb.ref('start_at'), message: null }))
    .where('id', '=', id)
    .where('state', '=', 'queued')
    .returning(HEAD)
    .executeTakeFirst();
}

/** When a chain that has not begun is to start; null for any other. */
export function delayedUntil({ state, start_at }: Pick<ChainHead, 'state' | 'start_at'>): Date | null {
  return state === 'queued' && start_at !== null && start_at.getTime() > Date.now() ? start_at : null;
}

/** Whether the key of a submission has been used already. */
export async function isKeyKnown({ db }: Store, { tenant, type, key }: NewChain): Promise<boolean> {
  if (key === undefined) return false;
  const known = db.selectFrom('chain').select('id').where('tenant', '=', tenant).where('type', '=', type);
  return (await known.where('key', '=', key).executeTakeFirst()) !== undefined;
}

/** Gives an open chain another priority; returns whether it is open. */
export async function setPriority({ db }: Store, id: string, priority: Priority): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('chain')
    .set({ priority })
    .where('id', '=', id)
    .where('closed_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Notes why a queued chain could not be started, for its status. */
export async function noteStartProblem({ db }: Store, id: string, message: string): Promise<void> {
  await db
    .updateTable('chain')
    .set({ message: storable(message) })
    .where('id', '=', id)
    .where('state', '=', 'queued')
    .execute();
}

/** What the engine knows of a chain whose workflow it runs. */
export interface RunningChain {
  readonly id: string;
  readonly type: string;
  readonly firstRunId: string;
  readonly runId: string;
  readonly namespace: string;
  readonly parentId?: string;
}

/**
 * The row of a chain that runs; written here for one that was started without intake (bare client, child workflow,
 * Temporal's UI). A child inherits tenant and priority. A workflow id that is used again is a new chain in the old row. A
 * chain that was closed by another run of the same workflow has been reset: it is open again. One that was closed before
 * its workflow began stays closed: see {@link wasClosedBeforeStart}.
 */
export async function ensureChain(store: Store, chain: RunningChain): Promise<ChainHead> {
  const { db } = store;
  const found = await findChainHead(store, chain.id);
  if (found !== undefined && wasClosedBeforeStart(found)) return found;
  if (found !== undefined && found.first_run_id === chain.firstRunId) {
    const wasReset = found.closed_at !== null && found.closed_run_id !== chain.runId;
    if (!wasReset) return found;
  }
  if (found !== undefined && found.first_run_id === null) {
    const begun = await db
      .updateTable('chain')
      .set({ state: 'running', started_at: found.started_at ?? new Date(), first_run_id: chain.firstRunId })
      .where('id', '=', chain.id)
      .where('first_run_id', 'is', null)
      .where('closed_at', 'is', null)
      .returning(HEAD)
      .executeTakeFirst();
    // Somebody else was faster, with a start or with an end.
    return begun ?? ensureChain(store, chain);
  }
  const parent = chain.parentId === undefined ? undefined : await findChainHead(store, chain.parentId);
  const now = new Date();
  const fresh = {
    state: 'running' as const,
    first_run_id: chain.firstRunId,
    namespace: chain.namespace,
    started_at: now,
    closed_at: null,
    closed_run_id: null,
    message: null,
    output: null,
    trace_parent: parent === undefined ? null : traceParentOf(chainSpanContext(parent)),
  };
  return db
    .insertInto('chain')
    .values({
      id: chain.id,
      type: chain.type,
      tenant: parent?.tenant ?? DEFAULT_TENANT,
      priority: parent?.priority ?? DEFAULT_PRIORITY,
      key: null,
      content_hash: null,
      content_slot: false,
      input: null,
      title: null,
      ...fresh,
    })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(fresh))
    .returning(HEAD)
    .executeTakeFirstOrThrow();
}

export interface ChainEnd {
  readonly state: ClosedState;
  /** The run that ended; none for a chain that was never started. */
  readonly runId?: string;
  /** JSON. */
  readonly output?: string;
  readonly message?: string;
}

/**
 * Closes a chain, withdraws its open holds, forgets its parked calls and gives back its scopes. The first end counts:
 * returns false when it was closed already. With
 * `onlyIfQueued` it closes a chain whose workflow has not been started.
 */
export async function closeChain(
  { db }: Store,
  id: string,
  end: ChainEnd,
  { onlyIfQueued = false } = {},
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    let update = trx
      .updateTable('chain')
      .set({
        state: end.state,
        output: end.output ?? null,
        message: end.message === undefined ? null : storable(end.message),
        content_slot: false,
        closed_at: new Date(),
        closed_run_id: end.runId ?? null,
      })
      .where('id', '=', id)
      .where('closed_at', 'is', null);
    if (onlyIfQueued) update = update.where('state', '=', 'queued');
    const { numUpdatedRows } = await update.executeTakeFirst();
    if (numUpdatedRows === 0n) return false;
    await trx.deleteFrom('parked').where('chain_id', '=', id).execute();
    await trx
      .updateTable('hold')
      .set({ verdict: WITHDRAWN, decided_by: 'holdfast', decided_at: new Date(), note: `the chain is ${end.state}` })
      .where('chain_id', '=', id)
      .where('decided_at', 'is', null)
      .execute();
    await trx
      .updateTable('hold')
      .set({ taken_at: new Date() })
      .where('chain_id', '=', id)
      .where('verdict', '=', 'cancel')
      .where('taken_at', 'is', null)
      .execute();
    await releaseChainScopes(trx, id);
    return true;
  });
}

/** Ids of the chains of a namespace whose workflows have been started and have not ended, oldest first. */
export async function listOpenChains({ db }: Store, namespace: string): Promise<string[]> {
  const rows = await db
    .selectFrom('chain')
    .select('id')
    .where('closed_at', 'is', null)
    .where('state', '!=', 'queued')
    .where((eb) => eb.or([eb('namespace', 'is', null), eb('namespace', '=', namespace)]))
    .orderBy('created_at')
    .execute();
  return rows.map(({ id }) => id);
}

/** How old a row must be, in seconds, before the sweeper takes it: younger ones are in the hands of who wrote them. */
const SETTLE_S = 2;
/** How long the sweeper leaves a row alone after it has looked at it, in seconds. */
const RECHECK_S = { queued: 5, started: 10 } as const;

/** Open chains of a namespace that are due for a look, longest unseen first; marks them as looked at. */
export function takeOpenChains(
  { db }: Store,
  state: 'queued' | 'started',
  namespace: string,
  limit: number,
): Promise<ChainHead[]> {
  return db
    .updateTable('chain')
    .set({ checked_at: sql<Date>`now()` })
    .where('id', 'in', (inner) =>
      inner
        .selectFrom('chain')
        .select('id')
        .where('closed_at', 'is', null)
        .where('state', state === 'queued' ? '=' : '!=', 'queued')
        .where((eb) => eb.or([eb('namespace', 'is', null), eb('namespace', '=', namespace)]))
        .where(sql<Date>`coalesce(started_at, created_at)`, '<', ago(SETTLE_S))
        .where((eb) => eb.or([eb('checked_at', 'is', null), eb('checked_at', '<', ago(RECHECK_S[state]))]))
        .orderBy('checked_at', (order) => order.asc().nullsFirst())
        .limit(limit),
    )
    .returning(HEAD)
    .execute();
}

function ago(seconds: number) {
  return sql<Date>`now() - make_interval(secs => ${seconds})`;
}
