import {
  type Client,
  type WorkflowExecutionDescription,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { ChainEnd, ChainHead } from '../store/chains.js';
import { closeChain } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { endChainSpan } from '../telemetry/trace.js';

/** What Temporal says of a chain's workflow. */
export type WorkflowView =
  | { readonly kind: 'open'; readonly description: WorkflowExecutionDescription }
  | { readonly kind: 'ended'; readonly end: ChainEnd }
  | { readonly kind: 'missing' }
  /** The chain belongs to another namespace, of which this client knows nothing. */
  | { readonly kind: 'foreign' };

/** Asks Temporal about the workflow of a chain. */
export async function viewWorkflow(temporal: Client, id: string): Promise<WorkflowView> {
  try {
    const description = await temporal.workflow.getHandle(id).describe();
    if (description.status.name === 'RUNNING') return { kind: 'open', description };
    const end = await endOf(temporal, id, description.status.name);
    return { kind: 'ended', end: { ...end, runId: description.runId } };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { kind: 'missing' };
    throw error;
  }
}

/**
 * Brings the row of a started chain in line with a workflow that ended without the engine's word: terminated or timed
 * out. Does nothing to one that is open, and nothing to one that Temporal does not know: whoever asks may be connected to
 * another cluster, or to one that was restored from a copy, and a row that is closed by mistake is lost work.
 */
export async function reconcileChain(store: Store, temporal: Client, row: ChainHead): Promise<WorkflowView> {
  if (!isOwn(temporal, row)) return { kind: 'foreign' };
  const view = await viewWorkflow(temporal, row.id);
  if (view.kind === 'ended' && (await closeChain(store, row.id, view.end))) endChainSpan(row, view.end.state);
  return view;
}

/** Whether a chain belongs to the namespace that a client is connected to. */
function isOwn(temporal: Client, { namespace }: Pick<ChainHead, 'namespace'>): boolean {
  return namespace === null || namespace === temporal.options.namespace;
}

async function endOf(temporal: Client, id: string, status: string): Promise<ChainEnd> {
  switch (status) {
    case 'COMPLETED': {
      const output: unknown = await temporal.workflow.getHandle(id).result();
      return { state: 'completed', output: JSON.stringify(output ?? null) };
    }
    case 'CANCELLED':
      return { state: 'cancelled', message: 'Cancelled in Temporal.' };
    case 'TERMINATED':
      return { state: 'failed', message: `Terminated in Temporal${await reasonOf(temporal, id)}.` };
    case 'TIMED_OUT':
      return { state: 'failed', message: 'Its workflow timed out.' };
    default:
      return { state: 'failed', message: `Its workflow ended as ${status}${await reasonOf(temporal, id)}.` };
  }
}

async function reasonOf(temporal: Client, id: string): Promise<string> {
  try {
    await temporal.workflow.getHandle(id).result();
    return '';
  } catch (error) {
    let root: unknown = error instanceof WorkflowFailedError ? error.cause : error;
    while (root instanceof Error && root.cause instanceof Error) root = root.cause;
    return root instanceof Error && root.message !== '' ? `: ${root.message}` : '';
  }
}
