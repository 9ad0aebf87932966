import type { Client } from '@temporalio/client';
import type { StepCall } from '../contracts/activities.js';
import { isClosed } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import { isPriority, PRIORITIES, type Priority, priorityKeyOf } from '../contracts/priority.js';
import { hasFinishedStep } from '../store/attempts.js';
import { type ChainHead, setPriority } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { changeQuotaRank } from '../store/quotas.js';
import { fetchHistory } from './fetch-history.js';
import { hasGrpcCode, NOT_FOUND } from './grpc.js';
import type { TemporalLink } from './temporal-link.js';

export interface ReprioritizeResult {
  readonly id: string;
  readonly priority: Priority;
  /** Calls that waited in Temporal's queues and have another place there now. */
  readonly moved: number;
  /** Why calls that wait already have kept their place. Later ones have the new priority. */
  readonly warning?: string;
}

/**
 * Gives a chain another priority: its later steps go by it, and so do calls that wait already, unless their step states a
 * priority of its own. Throws `INVALID_INPUT` and `ALREADY_CLOSED`.
 */
export async function reprioritize(
  store: Store,
  temporal: TemporalLink,
  chain: ChainHead,
  priority: string,
): Promise<ReprioritizeResult> {
  const { id } = chain;
  if (!isPriority(priority)) {
    const message = `There is no priority ${JSON.stringify(priority)}.`;
    throw new HoldfastError('INVALID_INPUT', message, `Use one of: ${PRIORITIES.join(', ')}.`);
  }
  // The row first: what is planned from here on has the new priority, and what was planned before is seen below.
  if (isClosed(chain.state) || !(await setPriority(store, id, priority))) {
    throw new HoldfastError('ALREADY_CLOSED', `${id} has ended.`, 'There is nothing left to wait.');
  }
  await changeQuotaRank(store, id, PRIORITIES.indexOf(priority));
  if (chain.first_run_id === null) return { id, priority, moved: 0 };
  const begun = await hasFinishedStep(store, id, chain.first_run_id);
  try {
    const moved = await temporal.use((client) => moveCalls(store, client, id, priorityKeyOf(priority, begun)));
    return { id, priority, moved };
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'TEMPORAL_UNREACHABLE') throw error;
    return { id, priority, moved: 0, warning: `${error.message} Calls that wait there keep their place.` };
  }
}

/** Gives the calls of a chain that Temporal has another priority; the server queues them anew, without history. */
async function moveCalls(store: Store, client: Client, id: string, priorityKey: number): Promise<number> {
  const { raw } = await client.workflow.getHandle(id).describe();
  const pending = (raw.pendingActivities ?? []).flatMap(({ activityId, activityType, priority }) =>
    activityType?.name === 'holdfastCallModel' && activityId && priority?.priorityKey !== priorityKey
      ? [activityId]
      : [],
  );
  if (pending.length === 0) return 0;
  const stated = await callsWithOwnPriority(store, client, id);
  let moved = 0;
  for (const activityId of pending.filter((candidate) => !stated.has(candidate))) {
    try {
      await client.workflowService.updateActivityOptions({
        namespace: client.options.namespace,
        execution: { workflowId: id },
        id: activityId,
        activityOptions: { priority: { priorityKey } },
        // Not all of it: the tenant and its weight stay.
        updateMask: { paths: ['priority.priority_key'] },
      });
      moved += 1;
    } catch (error) {
      // It has ended meanwhile.
      if (!hasGrpcCode(error, NOT_FOUND)) throw error;
    }
  }
  return moved;
}

/** Ids of the model activities whose step states its priority. Only their input says so, and only history has that. */
async function callsWithOwnPriority(store: Store, client: Client, id: string): Promise<Set<string>> {
  const history = await fetchHistory(store, client, id);
  const stated = new Set<string>();
  for (const { activityTaskScheduledEventAttributes: scheduled } of history?.events ?? []) {
    const data = scheduled?.input?.payloads?.[0]?.data;
    if (scheduled?.activityType?.name !== 'holdfastCallModel' || !scheduled.activityId || !data) continue;
    const call = JSON.parse(Buffer.from(data).toString()) as StepCall;
    if (call.priority !== undefined) stated.add(scheduled.activityId);
  }
  return stated;
}
