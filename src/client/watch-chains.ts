import type { ChainState } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import { type ChangePlace, type ChangeRow, checkPlace, placeBefore, readChanges } from '../store/changes.js';
import { isStoreTrouble, type Store } from '../store/database.js';
import { parseSince } from './since.js';

const POLL_MS = 250;
const MAX_RETRY_MS = 5_000;
const PAGE = 500;

export interface WatchOptions {
  readonly tenant?: string;
  /** Name of the chain. */
  readonly chain?: string;
  /** Where to begin: the cursor of a change that was seen, ISO 8601, or how long ago (`10m`). Default: now. */
  readonly since?: string;
  /** Ends the watch; no error. */
  readonly signal?: AbortSignal;
  /** Told what a person should know: the store is away, or changes after the cursor may have been removed. */
  readonly onNotice?: (notice: string) => void;
}

/** A state that a chain has entered. */
export interface ChainChange {
  readonly id: string;
  readonly chain: string;
  readonly tenant: string;
  readonly key: string | null;
  /** Never `stuck`: only Temporal knows that, and only `status` asks it. */
  readonly state: Exclude<ChainState, 'stuck'>;
  readonly at: string;
  /** Micro-dollars of the attempts that had ended then; null when none has a known price. */
  readonly costMicroUsd: number | null;
  /** `since` this, a watch goes on with the change after this one. */
  readonly cursor: string;
}

/**
 * Every change of state, each once, those of one chain in their order; endless until the signal. When the store goes away
 * it waits and goes on where it stood. Throws `INVALID_INPUT` for a `since` that is none, and, unless it has begun, what
 * keeps it from the store.
 */
export async function* watchChains(store: Store, options: WatchOptions): AsyncGenerator<ChainChange> {
  const { tenant, chain, since, signal, onNotice = () => {} } = options;
  const start = await startOf(store, since, onNotice).catch((error: unknown) => {
    throw store.explain(error);
  });
  let { place } = start;
  let failures = 0;
  const isEnded = () => signal?.aborted === true;
  while (!isEnded()) {
    let rows: readonly ChangeRow[] = [];
    try {
      rows = await readChanges(store, place, PAGE);
      if (failures > 0) onNotice('PostgreSQL is back; nothing was missed.');
      failures = 0;
    } catch (error) {
      if (!isStoreTrouble(error)) throw store.explain(error);
      failures += 1;
      if (failures === 1) onNotice(`${noticeOf(store.explain(error))} Waiting for it; nothing is missed meanwhile.`);
    }
    for (const row of rows) {
      place = row;
      const fits = (tenant ?? row.tenant) === row.tenant && (chain ?? row.type) === row.type;
      if (fits && (start.from === undefined || row.changed_at >= start.from)) yield changeOf(row);
      if (isEnded()) return;
    }
    if (rows.length < PAGE)
      await pause(failures === 0 ? POLL_MS : Math.min(POLL_MS * 2 ** failures, MAX_RETRY_MS), signal);
  }
}

const CURSOR = /^(?<position>\d{1,15})\.(?<seq>\d{1,15})$/;

async function startOf(
  store: Store,
  since: string | undefined,
  onNotice: (notice: string) => void,
): Promise<{ readonly place: ChangePlace; readonly from?: Date }> {
  if (since === undefined) return { place: await placeBefore(store) };
  const cursor = CURSOR.exec(since)?.groups;
  if (cursor === undefined) {
    const from = parseSince(since, ', or the cursor of a change');
    return { place: await placeBefore(store, from), from };
  }
  const place = { position: Number(cursor.position), seq: Number(cursor.seq) };
  const known = await checkPlace(store, place);
  if (known === 'foreign') {
    throw new HoldfastError(
      'INVALID_INPUT',
      `The cursor ${since} is not of this database.`,
      'Give a time in its place, and check DATABASE_URL.',
    );
  }
  if (known === 'trimmed')
    onNotice(`The change at cursor ${since} has been removed; later ones may be missing as well.`);
  return { place };
}

function changeOf(row: ChangeRow): ChainChange {
  return {
    id: row.chain_id,
    chain: row.type,
    tenant: row.tenant,
    key: row.key,
    state: row.state,
    at: row.changed_at.toISOString(),
    costMicroUsd: row.cost_micro_usd,
    cursor: `${row.position}.${row.seq}`,
  };
}

function noticeOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Waits, or until the signal. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}
