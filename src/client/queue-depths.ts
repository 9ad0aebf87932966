import type { Client } from '@temporalio/client';
import { tsToMs } from '@temporalio/common/lib/time.js';
import { LANES, type Lane } from '../contracts/lanes.js';
import { PRIORITIES, type Priority, priorityKeyOf } from '../contracts/priority.js';
import { modelTaskQueue } from '../contracts/queues.js';

/** Calls of a class that wait in a queue of Temporal's, which counts approximately. */
export interface QueueDepth {
  readonly group: string;
  readonly lane: Lane;
  readonly priority: Priority;
  readonly depth: number;
  readonly oldestSeconds: number;
}

/** `TaskQueueType` of Temporal's API. */
const ACTIVITY_QUEUE = 2;

/** What waits in the queues of model calls, of each quota group, lane and class. */
export async function readQueueDepths(client: Client, groups: readonly string[]): Promise<QueueDepth[]> {
  const queues = groups.flatMap((group) => LANES.map((lane) => ({ group, lane })));
  const depths = await Promise.all(
    queues.map(async ({ group, lane }) => {
      const { statsByPriorityKey } = await client.workflowService.describeTaskQueue({
        namespace: client.options.namespace,
        taskQueue: { name: modelTaskQueue(group, lane) },
        taskQueueType: ACTIVITY_QUEUE,
        reportStats: true,
      });
      return PRIORITIES.map((priority): QueueDepth => {
        // Those that have begun have a key of their own within their class.
        const keys = new Set([priorityKeyOf(priority, true), priorityKeyOf(priority, false)]);
        const stats = [...keys].flatMap((key) => statsByPriorityKey?.[key] ?? []);
        const waiting = stats.filter(({ approximateBacklogCount }) => Number(approximateBacklogCount ?? 0) > 0);
        return {
          group,
          lane,
          priority,
          depth: waiting.reduce((sum, { approximateBacklogCount }) => sum + Number(approximateBacklogCount), 0),
          oldestSeconds: Math.max(
            0,
            ...waiting.map(({ approximateBacklogAge: age }) => (age ? tsToMs(age) / 1_000 : 0)),
          ),
        };
      });
    }),
  );
  return depths.flat();
}
