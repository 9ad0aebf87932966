import type { WorkflowHandle } from '@temporalio/client';
import { tsToMs } from '@temporalio/common/lib/time.js';

type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;

/** Where the time of a chain goes, in the order in which it passes. */
export const PHASES = [
  { name: 'intake', title: 'submission, until Temporal has it' },
  { name: 'workflowWait', title: 'workflow tasks: waiting for the worker' },
  { name: 'workflow', title: 'workflow tasks: running, with the local activities in them' },
  { name: 'activityWait', title: 'model activities: waiting for the worker' },
  { name: 'activity', title: 'model activities: running, with the call of 50 ms' },
  { name: 'news', title: 'end, until the client knows' },
] as const;

export type Phases = Record<(typeof PHASES)[number]['name'], number>;

/** Sums by phase, in milliseconds, from the times in the history and those of the client (since 1970). */
export function phasesOf(
  { events }: History,
  client: { readonly startedAt: number; readonly endedAt: number },
): Phases {
  const times = new Map((events ?? []).map((event) => [Number(event.eventId), tsToMs(event.eventTime)]));
  const phases: Phases = { intake: 0, workflowWait: 0, workflow: 0, activityWait: 0, activity: 0, news: 0 };
  for (const event of events ?? []) {
    const now = tsToMs(event.eventTime);
    const since = (id: unknown): number => now - (times.get(Number(id)) as number);
    if (event.workflowExecutionStartedEventAttributes) phases.intake += now - client.startedAt;
    const workflowTask = event.workflowTaskCompletedEventAttributes;
    if (workflowTask) {
      phases.workflow += since(workflowTask.startedEventId);
      phases.workflowWait +=
        (times.get(Number(workflowTask.startedEventId)) as number) -
        (times.get(Number(workflowTask.scheduledEventId)) as number);
    }
    const activity = event.activityTaskCompletedEventAttributes;
    if (activity) {
      phases.activity += since(activity.startedEventId);
      phases.activityWait +=
        (times.get(Number(activity.startedEventId)) as number) -
        (times.get(Number(activity.scheduledEventId)) as number);
    }
    if (event.workflowExecutionCompletedEventAttributes) phases.news += client.endedAt - now;
  }
  return phases;
}
