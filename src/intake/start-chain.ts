import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { MEMO_CHAIN } from '../contracts/messages.js';
import { priorityKeyOf } from '../contracts/priority.js';
import { ENGINE_TASK_QUEUE } from '../contracts/queues.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import {
  type ChainHead,
  type ChainRow,
  delayedUntil,
  findChainHead,
  markDelayed,
  markStarted,
  wasClosedBeforeStart,
} from '../store/chains.js';
import type { Store } from '../store/database.js';

const stateKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.state.name, SEARCH_ATTRIBUTES.state.type);
const tenantKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.tenant.name, SEARCH_ATTRIBUTES.tenant.type);

/**
 * Starts the workflow of a chain and marks its row; returns what that says then, and nothing for a row that is not queued.
 * One that is submitted for later stays queued: its workflow waits in Temporal.
 * A workflow that runs already is what was wanted: the row's id is the workflow's id, and it is never used twice. A chain
 * that was cancelled between the look and the start is cancelled in Temporal as well; until then its steps refuse to run.
 */
export async function startChain(
  store: Store,
  temporal: Client,
  row: ChainRow | undefined,
): Promise<ChainHead | undefined> {
  if (row?.state !== 'queued') return undefined;
  const { id } = row;
  const firstRunId = await startWorkflow(temporal, row);
  const marked = await (delayedUntil(row) === null ? markStarted(store, id, firstRunId) : markDelayed(store, id));
  const now = marked ?? (await findChainHead(store, id)) ?? row;
  if (wasClosedBeforeStart(now)) {
    await temporal.workflow
      .getHandle(id)
      .cancel()
      .catch((error: unknown) => {
        // Its first step has ended it already.
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      });
  }
  return now;
}

/** Starts the workflow of a chain; returns the first run's id, also when it runs already. */
export async function startWorkflow(temporal: Client, row: ChainRow): Promise<string> {
  const startAt = delayedUntil(row);
  try {
    const handle = await temporal.workflow.start(row.type, {
      workflowId: row.id,
      taskQueue: ENGINE_TASK_QUEUE,
      args: row.input === null ? [] : [JSON.parse(row.input)],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      ...(startAt === null ? {} : { startDelay: startAt.getTime() - Date.now() }),
      priority: { priorityKey: priorityKeyOf(row.priority, false), fairnessKey: row.tenant },
      typedSearchAttributes: [
        { key: stateKey, value: 'running' },
        { key: tenantKey, value: row.tenant },
      ],
      memo: {
        [MEMO_CHAIN]: {
          tenant: row.tenant,
          key: row.key,
          title: row.title,
          look: lookAt(row),
          ...(row.scoped && { scoped: true }),
        },
      },
      staticSummary: row.title ?? row.type,
      staticDetails: `${row.type} of ${row.tenant}, priority ${row.priority}${row.key === null ? '' : `, key ${row.key}`}\n\nSteps, holds and cost: \`${lookAt(row)}\``,
    });
    return handle.firstExecutionRunId;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const { raw } = await temporal.workflow.getHandle(row.id).describe();
    return raw.workflowExecutionInfo?.firstRunId ?? '';
  }
}

/** How a person who finds the workflow in Temporal gets to see the chain. */
function lookAt({ id }: Pick<ChainRow, 'id'>): string {
  return `holdfast status ${id}`;
}
