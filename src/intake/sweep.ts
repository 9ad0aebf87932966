import type { Client } from '@temporalio/client';
import { DECIDE_HOLD_SIGNAL, type DecideSignalInput } from '../contracts/messages.js';
import { takeOpenChains } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { listUntakenDecisions } from '../store/holds.js';
import { reconcileChain } from './reconcile.js';
import { startChain } from './start-chain.js';

/** How many rows of each kind one sweep looks at. */
const BATCH = 100;

/** How long Temporal may take for one row, in milliseconds. Its client would go on trying for much longer. */
const CALL_MS = 5_000;

/** Rows younger than this, in milliseconds, are still in the hands of those who wrote them. */
const SETTLE_MS = 2_000;

export interface SweepReport {
  readonly started: number;
  readonly closed: number;
  readonly sent: number;
  /** What could not be mended, one message each; the next sweep tries again. */
  readonly problems: readonly string[];
}

/**
 * Mends what was cut off half-way: starts chains whose workflow is missing, closes rows whose workflow has ended, sends
 * decisions that have not arrived. One row that cannot be mended does not keep the others waiting.
 */
export async function sweep(store: Store, temporal: Client): Promise<SweepReport> {
  const problems: string[] = [];
  const mend = async <Row>(rows: readonly Row[], idOf: (row: Row) => string, one: (row: Row) => Promise<boolean>) => {
    let mended = 0;
    for (const row of rows) {
      try {
        if (await temporal.withDeadline(Date.now() + CALL_MS, () => one(row))) mended += 1;
      } catch (error) {
        problems.push(`${idOf(row)}: ${rootMessage(error)}`);
      }
    }
    return mended;
  };
  const queued = (await takeOpenChains(store, 'queued', BATCH)).filter(({ created_at }) => isSettled(created_at));
  const started = await mend(
    queued,
    ({ id }) => id,
    async (row) => {
      await startChain(store, temporal, row);
      return true;
    },
  );
  const ended = await endedChains(store, temporal);
  const closed = await mend(
    ended,
    ({ id }) => id,
    async (row) => {
      const { kind } = await reconcileChain(store, temporal, row);
      return kind !== 'open';
    },
  );
  const untaken = (await listUntakenDecisions(store, BATCH)).filter(({ decided_at }) => isSettled(decided_at));
  const sent = await mend(
    untaken,
    (hold) => `${hold.chain_id} ${hold.id}`,
    async (hold) => {
      const message: DecideSignalInput = { holdId: hold.id };
      await temporal.workflow.getHandle(hold.chain_id).signal(DECIDE_HOLD_SIGNAL, message);
      return true;
    },
  );
  return { started, closed, sent, problems };
}

function isSettled(time: Date | null): boolean {
  return time !== null && Date.now() - time.getTime() > SETTLE_MS;
}

function rootMessage(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return root instanceof Error ? root.message : String(root);
}

/** Open rows that Temporal's visibility does not list as running: one request for many rows. */
async function endedChains(store: Store, temporal: Client) {
  const rows = (await takeOpenChains(store, 'started', BATCH)).filter(
    ({ started_at }) => started_at === null || isSettled(started_at),
  );
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
