import type { DeadLetterFilter } from '../contracts/dead-letters.js';
import { HoldfastError } from '../contracts/errors.js';
import type { HoldDecision, StepEdit } from '../contracts/holds.js';
import type { Store } from '../store/database.js';
import {
  type DeadLetterQuery,
  type DeadLetterRow,
  listClusters,
  listDeadLetters,
  readOutcomes,
  typicalCosts,
} from '../store/dead-letters.js';
import { queryOf } from './read-dead-letters.js';

export interface RetryAllOptions {
  /** Who decides. */
  readonly by: string;
  /** Why; needed with an edit. */
  readonly note?: string;
  readonly edit?: StepEdit;
  /** How many are on their way at once; the rest of the quota stays for live work. Default: 10. */
  readonly atOnce?: number;
  /** No more are sent on their way once it is aborted; those that are go on to their end. */
  readonly signal?: AbortSignal;
  /** Told whenever the numbers have changed. */
  readonly onProgress?: (progress: RetryAllReport) => void;
}

/** How far it has come. */
export interface RetryAllReport {
  readonly total: number;
  readonly retried: number;
  /** Of those that were retried; they go on also when this ends before them. */
  readonly onTheWay: number;
  /** Whose step has a result now. */
  readonly succeeded: number;
  readonly heldAgain: number;
  /** Decided by somebody else meanwhile, or their chain has ended. */
  readonly gone: number;
  /** Clusters whose first one, or too many of the others, were held again: the rest of them was left alone. */
  readonly leftAlone: readonly string[];
}

/** What it would do. */
export interface RetryAllPlan {
  readonly total: number;
  readonly clusters: readonly {
    readonly cluster: string;
    readonly count: number;
    readonly step: string;
    readonly reason: string;
    /** About, in micro-dollars, by the latest calls of the step; null when it never had a call with a known price. */
    readonly costMicroUsd: number | null;
  }[];
  /** Of all clusters whose cost is known; null when none is. */
  readonly costMicroUsd: number | null;
}

const AT_ONCE = 10;
const MAX_AT_ONCE = 1_000;
const LOOK_MS = 200;
const PAGE = 500;
const MAX_CLUSTERS = 10_000;

/** A cluster is left alone when so many of its letters were held again, and they are more than half of those that ended. */
const MOST_HELD_AGAIN = 5;

type Decide = (id: string, decision: HoldDecision, holdId: string) => Promise<unknown>;

/** What the client lends: to decide, and to see beforehand whether that would be refused. */
interface Decisions {
  readonly decide: Decide;
  readonly check: Decide;
}

/** What {@link retryAll} would do, and about what it would cost. Throws as that does; changes nothing. */
export async function planRetryAll(store: Store, filter: DeadLetterFilter): Promise<RetryAllPlan> {
  const clusters = await found(store, queryOf(filter));
  const costs = await typicalCosts(store, clusters);
  const planned = clusters.map(({ cluster, count, step, reason, model }) => {
    const each = costs.find((one) => one.step === step && one.model === model)?.cost ?? null;
    return { cluster, count: Number(count), step, reason, costMicroUsd: each && Math.round(each * Number(count)) };
  });
  const known = planned.flatMap(({ costMicroUsd }) => costMicroUsd ?? []);
  return {
    total: planned.reduce((sum, { count }) => sum + count, 0),
    clusters: planned,
    costMicroUsd: known.length === 0 ? null : known.reduce((sum, cost) => sum + cost, 0),
  };
}

/**
 * Sends all dead letters that fit on their way again, cluster by cluster: one first, and the others only when its step
 * has succeeded. Returns when all have succeeded or are held again, or with the signal: those that are on their way then go
 * on. Those that are held anew while it runs are not its own. Throws `INVALID_INPUT` when none fits, and what a single
 * decision throws, before anything is retried when that is for what the decision says. Letters that were not retried are
 * held as before.
 */
export async function retryAll(
  store: Store,
  filter: DeadLetterFilter,
  { atOnce = AT_ONCE, signal, onProgress = () => {}, ...decision }: RetryAllOptions,
  { decide, check }: Decisions,
): Promise<RetryAllReport> {
  if (!Number.isInteger(atOnce) || atOnce < 1 || atOnce > MAX_AT_ONCE) {
    throw new HoldfastError('INVALID_INPUT', `${atOnce} at once is none.`, `Use 1 to ${MAX_AT_ONCE}.`);
  }
  const query = queryOf(filter);
  const clusters = await found(store, query);
  const retry: HoldDecision = { verdict: 'retry', ...decision };
  const checked = new Set<string>();
  for (const { step, sample } of clusters) {
    const [id, hold] = sample;
    if (!checked.has(step) && (await unlessGone(() => check(id, retry, hold)))) checked.add(step);
  }
  const newest = new Date(Math.max(...clusters.map(({ last_seen }) => last_seen.getTime())) + 1);
  const run = new Run(store, retry, decide, clusters, onProgress);
  for (const { cluster } of clusters) {
    if (signal?.aborted) break;
    await run.cluster({ ...query, cluster, openedBefore: query.openedBefore ?? newest }, atOnce, signal);
  }
  return run.report;
}

async function found(store: Store, query: DeadLetterQuery): Promise<Awaited<ReturnType<typeof listClusters>>> {
  const clusters = await listClusters(store, query, MAX_CLUSTERS);
  if (clusters.length > 0) return clusters;
  if (query.cluster !== undefined && (await listClusters(store, { cluster: query.cluster }, 1)).length === 0) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `No dead letter is in cluster ${query.cluster}, now at least.`,
      'See `holdfast dead-letters clusters`.',
    );
  }
  throw new HoldfastError('INVALID_INPUT', 'No dead letter fits.', 'See `holdfast dead-letters clusters`.');
}

/** Whether it could be done: false for a letter that somebody else has decided, or whose chain has ended, meanwhile. */
async function unlessGone(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    const code = error instanceof HoldfastError ? error.code : '';
    if (['ALREADY_DECIDED', 'NOT_HELD', 'HOLD_NOT_FOUND', 'CHAIN_NOT_FOUND'].includes(code)) return false;
    throw error;
  }
}

/** One retry of many, with its numbers. */
class Run {
  report: RetryAllReport;

  constructor(
    private readonly store: Store,
    private readonly decision: HoldDecision,
    private readonly decide: Decide,
    clusters: readonly { readonly count: number }[],
    private readonly onProgress: (report: RetryAllReport) => void,
  ) {
    const total = clusters.reduce((sum, { count }) => sum + Number(count), 0);
    this.report = { total, retried: 0, onTheWay: 0, succeeded: 0, heldAgain: 0, gone: 0, leftAlone: [] };
  }

  async cluster(query: DeadLetterQuery, atOnce: number, signal: AbortSignal | undefined): Promise<void> {
    const onTheWay = new Map<string, DeadLetterRow>();
    const ended = { succeeded: 0, heldAgain: 0 };
    let waiting: DeadLetterRow[] = [];
    for (;;) {
      // Those that are on their way, and those that are held again, are none of them any more.
      if (waiting.length === 0) waiting = await listDeadLetters(this.store, query, PAGE);
      const isFirst = ended.succeeded === 0;
      const failing = isFirst
        ? ended.heldAgain > 0
        : ended.heldAgain >= MOST_HELD_AGAIN && ended.heldAgain > ended.succeeded;
      const isStopped = () => failing || signal?.aborted === true;
      while (!isStopped() && waiting.length > 0 && onTheWay.size < (isFirst ? 1 : atOnce)) {
        const letter = waiting.shift() as DeadLetterRow;
        if (!(await this.retry(letter))) continue;
        onTheWay.set(`${letter.chain_id}\n${letter.id}`, letter);
        this.note({ retried: this.report.retried + 1, onTheWay: onTheWay.size });
      }
      if (signal?.aborted) return;
      if (onTheWay.size === 0 && (failing || waiting.length === 0)) {
        const left = waiting.length > 0 ? [query.cluster as string] : [];
        this.note({ leftAlone: [...this.report.leftAlone, ...left] });
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      for (const { key, outcome } of await readOutcomes(this.store, onTheWay)) {
        onTheWay.delete(key);
        if (outcome !== 'gone') ended[outcome] += 1;
        this.note({ [outcome]: this.report[outcome] + 1, onTheWay: onTheWay.size });
      }
    }
  }

  /** Whether it was ours to send. */
  private async retry({ chain_id, id }: DeadLetterRow): Promise<boolean> {
    const isOurs = await unlessGone(() => this.decide(chain_id, this.decision, id));
    if (!isOurs) this.note({ gone: this.report.gone + 1 });
    return isOurs;
  }

  private note(change: Partial<RetryAllReport>): void {
    this.report = { ...this.report, ...change };
    this.onProgress(this.report);
  }
}
