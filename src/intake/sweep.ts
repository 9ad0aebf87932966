import type { Client } from '@temporalio/client';
import { DECIDE_HOLD_SIGNAL, type DecideSignalInput } from '../contracts/messages.js';
import { type ChainHead, findChain, noteStartProblem, takeOpenChains } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { takeUntakenDecisions } from '../store/holds.js';
import { listLiveWorkers } from '../store/liveness.js';
import { takeDueChains } from '../store/parked.js';
import { sweepScopes, takeUntoldChains } from '../store/scopes.js';
import { reconcileChain } from './reconcile.js';
import { startChain } from './start-chain.js';
import { rootMessage, unreachableReason } from './temporal-unreachable.js';
import { wakeChains } from './wake-parked.js';

/** How many rows of each kind one sweep looks at. */
const BATCH = 100;

/** How long Temporal may take for one row, in milliseconds. Its client would go on trying for much longer. */
const CALL_MS = 5_000;

export interface SweepReport {
  readonly started: number;
  readonly closed: number;
  readonly sent: number;
  /** Chains that were told that their parked calls may go on. */
  readonly woken: number;
  /** What could not be mended, one message each; a later sweep tries again. */
  readonly problems: readonly string[];
}

/**
 * Mends what was cut off half-way: starts chains whose workflow is missing, closes rows whose workflow has ended, sends
 * decisions that have not arrived, and wakes chains whose parked calls may go on. One row that cannot be mended does not
 * keep the others waiting, but it ends with the first sign that Temporal is away, and with `signal`. Only chains of the
 * client's own namespace.
 */
export async function sweep(store: Store, temporal: Client, signal?: AbortSignal): Promise<SweepReport> {
  const { namespace } = temporal.options;
  const problems: string[] = [];
  let away = false;

  /** Runs `one` for each row as long as Temporal answers; returns how often it returned true. */
  async function mend<Row>(
    rows: readonly Row[],
    idOf: (row: Row) => string,
    one: (row: Row) => Promise<boolean>,
    onProblem?: (row: Row, message: string) => Promise<void>,
  ): Promise<number> {
    let mended = 0;
    for (const row of rows) {
      if (away || signal?.aborted) break;
      try {
        if (await temporal.withDeadline(Date.now() + CALL_MS, () => one(row))) mended += 1;
      } catch (error) {
        const message = rootMessage(error);
        const reason = unreachableReason(error);
        away = reason !== undefined;
        problems.push(away ? `Temporal cannot be reached: ${reason}` : `${idOf(row)}: ${message}`);
        if (!away) await onProblem?.(row, message);
      }
    }
    return mended;
  }

  const started = await mend(
    await takeOpenChains(store, 'queued', namespace, BATCH),
    ({ id }) => id,
    async ({ id }) => (await startChain(store, temporal, await findChain(store, id))) !== undefined,
    ({ id }, message) => noteStartProblem(store, id, `It could not be started yet: ${message}`),
  );
  let ended: ChainHead[] = [];
  await mend(
    [await takeOpenChains(store, 'started', namespace, BATCH)],
    () => 'the list of running workflows',
    async (rows) => {
      ended = await endedChains(temporal, rows);
      return true;
    },
  );
  const closed = await mend(
    ended,
    ({ id }) => id,
    async (row) => (await reconcileChain(store, temporal, row)).kind === 'ended',
  );
  const sent = await mend(
    away ? [] : await takeUntakenDecisions(store, namespace, BATCH),
    ({ chainId, holdId }) => `${chainId} ${holdId}`,
    async ({ chainId, holdId, verdict }) => {
      const message: DecideSignalInput = { holdId };
      const workflow = temporal.workflow.getHandle(chainId);
      await (verdict === 'cancel' ? workflow.cancel() : workflow.signal(DECIDE_HOLD_SIGNAL, message));
      return true;
    },
  );
  await sweepScopes(store, await listLiveWorkers(store));
  const due = away ? [] : await takeDueChains(store, namespace, BATCH);
  const letIn = away ? [] : await takeUntoldChains(store, namespace, BATCH, { fresh: false });
  const toWake = [...new Set([...due, ...letIn])];
  const woken = await mend(
    toWake.length === 0 ? [] : [toWake],
    () => 'waking parked chains',
    async (ids) => {
      await wakeChains(temporal, ids);
      return true;
    },
  );
  return { started, closed, sent, woken: woken * toWake.length, problems };
}

/** Those of the rows that Temporal's visibility does not list as running: one request for many rows. */
async function endedChains(temporal: Client, rows: readonly ChainHead[]): Promise<ChainHead[]> {
  if (rows.length === 0) return [];
  const running = new Set<string>();
  const ids = rows.map(({ id }) => `"${id.replaceAll(/["\\]/g, '\\$&')}"`).join(', ');
  for await (const { workflowId } of temporal.workflow.list({
    query: `ExecutionStatus = "Running" AND WorkflowId IN (${ids})`,
  })) {
    running.add(workflowId);
  }
  return rows.filter(({ id }) => !running.has(id));
}
