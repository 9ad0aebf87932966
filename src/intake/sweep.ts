import type { Client } from '@temporalio/client';
import { DECIDE_HOLD_SIGNAL, type DecideSignalInput } from '../contracts/messages.js';
import { takeOpenChains } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { listUntakenDecisions } from '../store/holds.js';
import { reconcileChain } from './reconcile.js';
import { startChain } from './start-chain.js';

/** How many rows of each kind one sweep looks at. */
const BATCH = 100;

/** Rows younger than this, in milliseconds, are still in the hands of those who wrote them. */
const SETTLE_MS = 2_000;

/**
 * Mends what was cut off half-way: starts chains whose workflow is missing, closes rows whose workflow has ended, sends
 * decisions that have not arrived. Returns how many it started, closed and sent.
 */
export async function sweep(
  store: Store,
  temporal: Client,
): Promise<{ readonly started: number; readonly closed: number; readonly sent: number }> {
  const count = { started: 0, closed: 0, sent: 0 };
  for (const row of await takeOpenChains(store, 'queued', BATCH)) {
    if (Date.now() - row.created_at.getTime() < SETTLE_MS) continue;
    await startChain(store, temporal, row);
    count.started += 1;
  }
  for (const row of await endedChains(store, temporal)) {
    const view = await reconcileChain(store, temporal, row);
    if (view.kind !== 'open') count.closed += 1;
  }
  for (const hold of await listUntakenDecisions(store, BATCH)) {
    if (hold.decided_at === null || Date.now() - hold.decided_at.getTime() < SETTLE_MS) continue;
    const message: DecideSignalInput = { holdId: hold.id };
    await temporal.workflow.getHandle(hold.chain_id).signal(DECIDE_HOLD_SIGNAL, message);
    count.sent += 1;
  }
  return count;
}

/** Open rows that Temporal's visibility does not list as running: one request for many rows. */
async function endedChains(store: Store, temporal: Client) {
  const rows = (await takeOpenChains(store, 'started', BATCH)).filter(
    ({ started_at }) => started_at === null || Date.now() - started_at.getTime() > SETTLE_MS,
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
