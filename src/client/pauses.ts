import type { Application } from '../contracts/chain-definition.js';
import { HoldfastError } from '../contracts/errors.js';
import { LANES } from '../contracts/lanes.js';
import { type PauseKind, type PauseSelector, type PauseStatus, pauseKeyOf } from '../contracts/pauses.js';
import { wakeChains } from '../intake/wake-parked.js';
import type { Store } from '../store/database.js';
import { isWorkerAlive } from '../store/liveness.js';
import { takeDueChains } from '../store/parked.js';
import {
  deletePause,
  haveEndedBefore,
  insertPause,
  isKnown,
  listOpenWorkers,
  listPauses,
  numberNow,
  type PauseKey,
} from '../store/pauses.js';
import type { TemporalLink } from './temporal-link.js';

export interface PauseOptions {
  /** Who orders it. */
  readonly by: string;
  readonly reason?: string;
}

export interface PauseResult {
  readonly pause: PauseStatus;
  /** False when it was paused before: who ordered it then is who counts. */
  readonly isNew: boolean;
}

export interface ResumeResult {
  readonly kind: PauseKind;
  readonly value: string | null;
  /** Chains that were told at once; the workers tell the others. */
  readonly woken: number;
  /** Why they have not all been told yet; they will be. */
  readonly warning?: string;
}

export interface DrainOptions {
  readonly signal?: AbortSignal;
  /** Told how many calls are open whenever that has changed. */
  readonly onProgress?: (openCalls: number) => void;
}

/** Pauses what the selector names; calls that are open go on to their end. Throws what {@link checkedKey} throws. */
export async function pause(
  store: Store,
  app: Application,
  selector: PauseSelector,
  { by, reason }: PauseOptions,
): Promise<PauseResult> {
  const key = await checkedKey(store, app, selector);
  const { isNew } = await insertPause(store, key, { by, reason: reason ?? null });
  const status = (await pauses(store)).find(({ kind, value }) => kind === key.kind && (value ?? '') === key.value);
  // Somebody else has ended it in between: then it was theirs to end.
  if (status === undefined) throw notPaused(key);
  return { pause: status, isNew };
}

/** Ends a pause, and tells the chains that it has parked. Throws `NOT_PAUSED`. */
export async function resume(store: Store, temporal: TemporalLink, selector: PauseSelector): Promise<ResumeResult> {
  const key = keyOf(selector);
  if ((await deletePause(store, key)) === undefined) throw notPaused(key);
  const result = { kind: key.kind, value: namedBy(key) };
  let woken = 0;
  try {
    for (;;) {
      const due = await takeDueChains(store, temporal.namespace, WAKE_BATCH);
      if (due.length === 0) return { ...result, woken };
      await temporal.use((client) => wakeChains(client, due));
      woken += due.length;
    }
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'TEMPORAL_UNREACHABLE') throw error;
    return { ...result, woken, warning: `${error.message} The workers wake the chains when Temporal is back.` };
  }
}

/** How many chains are told within one of Temporal's time limits. */
const WAKE_BATCH = 200;

/** All pauses, oldest first. */
export async function pauses(store: Store): Promise<PauseStatus[]> {
  const rows = await listPauses(store);
  return rows.map((row) => ({
    kind: row.kind,
    value: namedBy(row),
    by: row.paused_by,
    reason: row.reason,
    since: row.paused_at.toISOString(),
    parkedChains: row.parked_chains,
    openCalls: row.open_calls,
  }));
}

const DRAIN_POLL_MS = 200;
/** How long a worker may take to show itself again when PostgreSQL was restarted, in milliseconds. */
const RELOCK_MS = 2_000;

/**
 * Waits until no model call under a pause is open any more; calls of dead workers do not count. Nothing can open one
 * afterwards. Throws `NOT_PAUSED`, also when the pause ends meanwhile, and the signal's reason.
 */
export async function drain(store: Store, selector: PauseSelector, options: DrainOptions = {}): Promise<void> {
  const key = keyOf(selector);
  const begunBefore = await numberNow(store);
  let told: number | undefined;
  let lastAlive = Date.now();
  for (;;) {
    options.signal?.throwIfAborted();
    if (!(await pauses(store)).some(({ kind, value }) => kind === key.kind && (value ?? '') === key.value)) {
      throw notPaused(key);
    }
    // In this order: a call whose row is still to be committed is seen by the look after it.
    const settled = await haveEndedBefore(store, begunBefore);
    const workers = await listOpenWorkers(store, key);
    const alive = await Promise.all(workers.map((worker) => worker !== null && isWorkerAlive(store, worker)));
    const open = alive.filter(Boolean).length;
    if (open > 0) lastAlive = Date.now();
    const isSure = workers.length === 0 || Date.now() - lastAlive > RELOCK_MS;
    if (workers.length !== told) options.onProgress?.(workers.length);
    told = workers.length;
    if (settled && open === 0 && isSure) return;
    await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
  }
}

function namedBy({ kind, value }: PauseKey): string | null {
  return kind === 'all' ? null : value;
}

/** What a selector names. Throws `INVALID_INPUT`. */
function keyOf(selector: PauseSelector): PauseKey {
  const key = pauseKeyOf(selector);
  if (key === undefined) throw unknown('A pause is of one thing.', 'Name a tenant, a chain, a lane or a model.');
  if (key.value.includes('\0')) throw unknown(`There is no ${key.kind} with a NUL character.`, 'Check the name.');
  return key;
}

/** What a selector names, if there is such a thing. Throws `INVALID_INPUT`, or `CHAIN_NOT_FOUND` for a chain. */
async function checkedKey(store: Store, { chains, steps }: Application, selector: PauseSelector): Promise<PauseKey> {
  const key = keyOf(selector);
  const { kind, value } = key;
  const quoted = JSON.stringify(value);
  if (kind === 'lane' && !(LANES as readonly string[]).includes(value)) {
    throw unknown(`There is no lane ${quoted}.`, `Use one of: ${LANES.join(', ')}.`);
  }
  const models = new Set(Object.values(steps).map(({ model }) => model));
  if (kind === 'model' && !models.has(value)) {
    throw unknown(`No step uses the model ${quoted}.`, `Those that steps use: ${[...models].sort().join(', ')}.`);
  }
  if (kind === 'tenant' && !(await isKnown(store, key))) {
    throw unknown(`No chain has the tenant ${quoted}.`, 'Check the name; `holdfast list` shows the tenants of chains.');
  }
  if (kind === 'chain' && !Object.hasOwn(chains, value) && !(await isKnown(store, key))) {
    const known = Object.keys(chains).sort().join(', ');
    const message = `There is no chain ${quoted}, neither by this id nor of this type.`;
    throw new HoldfastError('CHAIN_NOT_FOUND', message, `Name an id, or a type: ${known}.`);
  }
  return key;
}

function unknown(message: string, remedy: string): HoldfastError {
  return new HoldfastError('INVALID_INPUT', message, remedy);
}

function notPaused({ kind, value }: PauseKey): HoldfastError {
  const what = kind === 'all' ? 'Everything together' : `The ${kind} ${JSON.stringify(value)}`;
  return new HoldfastError(
    'NOT_PAUSED',
    `${what} is not paused.`,
    'See `holdfast pauses`: a pause ends under what it was ordered for.',
  );
}
