import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { MEMO_CHAIN } from '../contracts/messages.js';
import { PRIORITY_KEY } from '../contracts/priority.js';
import { ENGINE_TASK_QUEUE } from '../contracts/queues.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { type ChainRow, findChain, markStarted } from '../store/chains.js';
import type { Store } from '../store/database.js';

const stateKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.state.name, SEARCH_ATTRIBUTES.state.type);
const tenantKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.tenant.name, SEARCH_ATTRIBUTES.tenant.type);

/**
 * Starts the workflow of a queued chain and marks the row. One that runs already is what was wanted: the row's id is the
 * workflow's id, and it is never used twice. A chain that was cancelled meanwhile is cancelled again, in Temporal.
 */
export async function startChain(store: Store, temporal: Client, row: ChainRow): Promise<void> {
  const firstRunId = await startWorkflow(temporal, row);
  await markStarted(store, row.id, firstRunId);
  const now = await findChain(store, row.id);
  if (now?.state === 'cancelled') await temporal.workflow.getHandle(row.id).cancel();
}

async function startWorkflow(temporal: Client, row: ChainRow): Promise<string> {
  try {
    const handle = await temporal.workflow.start(row.type, {
      workflowId: row.id,
      taskQueue: ENGINE_TASK_QUEUE,
      args: row.input === null ? [] : [JSON.parse(row.input)],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      priority: { priorityKey: PRIORITY_KEY[row.priority], fairnessKey: row.tenant },
      typedSearchAttributes: [
        { key: stateKey, value: 'running' },
        { key: tenantKey, value: row.tenant },
      ],
      memo: { [MEMO_CHAIN]: { tenant: row.tenant, key: row.key, title: row.title } },
      staticSummary: row.title ?? row.type,
    });
    return handle.firstExecutionRunId;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const { raw } = await temporal.workflow.getHandle(row.id).describe();
    return raw.workflowExecutionInfo?.firstRunId ?? '';
  }
}
