import type { Client, WorkflowHandle } from '@temporalio/client';

export type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;

/** Bytes of a chain's history, as the server counts them against its limit. */
export async function historyBytes(temporal: Client, id: string): Promise<number> {
  const handle = temporal.workflow.getHandle(id);
  // Holdfast's client hears of the end from the record, which is written before the last events are.
  await handle.result();
  const { raw } = await handle.describe();
  return Number(raw.workflowExecutionInfo?.historySizeBytes);
}

/**
 * Billable Actions of a chain, counted from its history by the rules of https://docs.temporal.io/cloud/actions: a start of
 * a workflow or child is one; an activity is one for each time it was started; all markers (local activities) of one workflow task
 * together are one; a timer, a signal and an update are one each. Heartbeats are Actions too, and not in histories; no call here
 * is long enough for one.
 */
export function billableActions({ events }: History): number {
  const markedTasks = new Set<string>();
  let actions = 0;
  for (const event of events ?? []) {
    const marker = event.markerRecordedEventAttributes;
    if (marker) markedTasks.add(String(marker.workflowTaskCompletedEventId));
    // Only the last attempt of an activity leaves a started event; it says which one it was.
    else if (event.activityTaskStartedEventAttributes) actions += event.activityTaskStartedEventAttributes.attempt ?? 1;
    else if (
      event.workflowExecutionStartedEventAttributes ||
      event.startChildWorkflowExecutionInitiatedEventAttributes ||
      event.timerStartedEventAttributes ||
      event.workflowExecutionSignaledEventAttributes ||
      event.workflowExecutionUpdateAcceptedEventAttributes ||
      event.upsertWorkflowSearchAttributesEventAttributes
    ) {
      actions += 1;
    }
  }
  return actions + markedTasks.size;
}
