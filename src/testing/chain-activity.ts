import type { Client } from '@temporalio/client';
import { tsToMs } from '@temporalio/common/lib/time.js';
import proto from '@temporalio/proto';

const { WorkflowTaskFailedCause } = proto.temporal.api.enums.v1;
type HistoryEvent = proto.temporal.api.history.v1.IHistoryEvent;

/**
 * What a chain does now. `busy`: its code, a call or another activity is at work. `waits`: for its next timer, which is
 * due at `timerDueMs` of the server's time, or for somebody. `fails`: its code throws again and again; only other code
 * can help it.
 */
export type ChainActivity =
  | { readonly kind: 'busy' }
  | { readonly kind: 'waits'; readonly timerDueMs: number | null }
  | { readonly kind: 'fails'; readonly message: string };

/** Looks at the history of a chain, and at those of the children that it waits for. */
export async function observeChain(client: Client, workflowId: string): Promise<ChainActivity> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const { activity, children } = readHistory(events ?? []);
  if (activity.kind !== 'waits') return activity;
  const due = [activity.timerDueMs];
  for (const child of children) {
    const theirs = await observeChain(client, child);
    if (theirs.kind !== 'waits') return theirs;
    due.push(theirs.timerDueMs);
  }
  const times = due.filter((time) => time !== null);
  return { kind: 'waits', timerDueMs: times.length === 0 ? null : Math.min(...times) };
}

/** Causes for which the code of a workflow is to blame; all others pass. */
const FAILING: readonly unknown[] = [
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
];

/** Among the timers: that of the start. */
const START = 'start';

function readHistory(events: readonly HistoryEvent[]): {
  readonly activity: ChainActivity;
  readonly children: readonly string[];
} {
  /** What has begun and not ended, by the id of the event that began it. */
  const working = new Set<string>();
  const timers = new Map<string, number>();
  const children = new Map<string, string>();
  let task = false;
  let failure: string | null = null;
  for (const event of events) {
    const id = String(event.eventId);
    // One that was submitted for later waits as for a timer; a task of its workflow ends that.
    const backoffMs = tsToMs(event.workflowExecutionStartedEventAttributes?.firstWorkflowTaskBackoff ?? {});
    if (backoffMs > 0) timers.set(START, tsToMs(event.eventTime) + backoffMs);
    if (event.workflowTaskScheduledEventAttributes) {
      task = true;
      timers.delete(START);
    }
    if (event.workflowTaskCompletedEventAttributes) [task, failure] = [false, null];
    const failed = event.workflowTaskFailedEventAttributes;
    if (failed && FAILING.includes(failed.cause)) failure = failed.failure?.message ?? 'unknown';

    if (event.activityTaskScheduledEventAttributes || event.startChildWorkflowExecutionInitiatedEventAttributes) {
      working.add(id);
    }
    const activityEnd =
      event.activityTaskCompletedEventAttributes ??
      event.activityTaskFailedEventAttributes ??
      event.activityTaskTimedOutEventAttributes ??
      event.activityTaskCanceledEventAttributes;
    if (activityEnd) working.delete(String(activityEnd.scheduledEventId));

    const timer = event.timerStartedEventAttributes;
    if (timer) timers.set(id, tsToMs(event.eventTime) + tsToMs(timer.startToFireTimeout));
    const timerEnd = event.timerFiredEventAttributes ?? event.timerCanceledEventAttributes;
    if (timerEnd) timers.delete(String(timerEnd.startedEventId));

    const child = event.childWorkflowExecutionStartedEventAttributes;
    if (child) {
      working.delete(String(child.initiatedEventId));
      children.set(String(child.initiatedEventId), child.workflowExecution?.workflowId ?? '');
    }
    const childEnd =
      event.startChildWorkflowExecutionFailedEventAttributes ??
      event.childWorkflowExecutionCompletedEventAttributes ??
      event.childWorkflowExecutionFailedEventAttributes ??
      event.childWorkflowExecutionCanceledEventAttributes ??
      event.childWorkflowExecutionTimedOutEventAttributes ??
      event.childWorkflowExecutionTerminatedEventAttributes;
    if (childEnd) {
      working.delete(String(childEnd.initiatedEventId));
      children.delete(String(childEnd.initiatedEventId));
    }
  }
  const timerDueMs = timers.size === 0 ? null : Math.min(...timers.values());
  return { activity: activityOf(), children: [...children.values()] };

  function activityOf(): ChainActivity {
    if (failure !== null) return { kind: 'fails', message: failure };
    return task || working.size > 0 ? { kind: 'busy' } : { kind: 'waits', timerDueMs };
  }
}
