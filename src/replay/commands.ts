import type { coresdk, google, temporal } from '@temporalio/proto';
import type { ModelActivities } from '../contracts/activities.js';

export type HistoryEvent = temporal.api.history.v1.IHistoryEvent;
export type CodeCommand = coresdk.workflow_commands.IWorkflowCommand;
type Payload = temporal.api.common.v1.IPayload;

/** One thing that a chain does: as the event that it left in a history, or as the code gives it. */
export interface Command {
  readonly kind: 'activity' | 'local activity' | 'timer' | 'child workflow' | 'patch' | 'other';
  /** What tells it from others of its kind; empty where nothing does. */
  readonly id: string;
  /** Type of an activity or a child workflow; empty for the rest. */
  readonly type: string;
  /** As people call it. */
  readonly words: string;
}

/** What an event of history says that the code did; undefined for events that come from elsewhere. */
export function commandOfEvent(event: HistoryEvent): Command | undefined {
  const {
    activityTaskScheduledEventAttributes: activity,
    timerStartedEventAttributes: timer,
    startChildWorkflowExecutionInitiatedEventAttributes: child,
    signalExternalWorkflowExecutionInitiatedEventAttributes: signal,
    markerRecordedEventAttributes: marker,
  } = event;
  if (activity != null) return activityCommand(activity.activityType?.name, activity.activityId);
  if (timer != null) return timerCommand(timer.timerId, timer.startToFireTimeout);
  if (child != null) return childCommand(child.workflowType?.name, child.workflowId);
  if (signal != null) return signalCommand(signal.signalName, signal.workflowExecution?.workflowId);
  if (marker?.markerName === 'core_local_activity') {
    const data = json(marker.details?.data?.payloads?.[0]) as { seq?: number; activity_type?: string } | undefined;
    return localActivityCommand(data?.activity_type, data?.seq, event.userMetadata?.summary);
  }
  if (marker?.markerName === 'core_patch') {
    return patchCommand((json(marker.details?.['patch-data']?.payloads?.[0]) as { id?: string } | undefined)?.id);
  }
  const said = PLAIN_COMMANDS.find(([name]) => event[name] != null);
  return said === undefined ? undefined : { kind: 'other', id: '', type: '', words: said[2] };
}

/** What the code gives; undefined for what leaves no event of its own. */
export function commandOfCode(command: CodeCommand): Command | undefined {
  const {
    scheduleActivity: activity,
    scheduleLocalActivity: local,
    startTimer: timer,
    startChildWorkflowExecution: child,
    signalExternalWorkflowExecution: signal,
    setPatchMarker: patch,
  } = command;
  if (activity != null) return activityCommand(activity.activityType, activity.activityId);
  if (local != null) return localActivityCommand(local.activityType, local.seq, command.userMetadata?.summary);
  if (timer != null) return timerCommand(timer.seq, timer.startToFireTimeout);
  if (child != null) return childCommand(child.workflowType, child.workflowId);
  if (signal != null) {
    return signalCommand(signal.signalName, signal.childWorkflowId ?? signal.workflowExecution?.workflowId);
  }
  if (patch != null) return patchCommand(patch.patchId);
  const said = PLAIN_COMMANDS.find(([, name]) => command[name] != null);
  return said === undefined ? undefined : { kind: 'other', id: '', type: '', words: said[2] };
}

/** Commands of which the name alone says what the code does: in history, in the code's commands, in words. */
const PLAIN_COMMANDS: readonly (readonly [event: keyof HistoryEvent, command: keyof CodeCommand, words: string])[] = [
  ['activityTaskCancelRequestedEventAttributes', 'requestCancelActivity', 'the cancellation of an activity'],
  ['timerCanceledEventAttributes', 'cancelTimer', 'the cancellation of a timer'],
  [
    'requestCancelExternalWorkflowExecutionInitiatedEventAttributes',
    'requestCancelExternalWorkflowExecution',
    'the cancellation of another workflow',
  ],
  ['upsertWorkflowSearchAttributesEventAttributes', 'upsertWorkflowSearchAttributes', 'a change of search attributes'],
  ['workflowPropertiesModifiedEventAttributes', 'modifyWorkflowProperties', 'a change of the memo'],
  ['nexusOperationScheduledEventAttributes', 'scheduleNexusOperation', 'a Nexus operation'],
  ['workflowExecutionUpdateAcceptedEventAttributes', 'updateResponse', 'the answer to an update'],
  ['workflowExecutionUpdateCompletedEventAttributes', 'updateResponse', 'the answer to an update'],
  [
    'workflowExecutionContinuedAsNewEventAttributes',
    'continueAsNewWorkflowExecution',
    'the end of the run (continued as new)',
  ],
  ['workflowExecutionCompletedEventAttributes', 'completeWorkflowExecution', 'the end of the chain (completed)'],
  ['workflowExecutionFailedEventAttributes', 'failWorkflowExecution', 'the end of the chain (failed)'],
  ['workflowExecutionCanceledEventAttributes', 'cancelWorkflowExecution', 'the end of the chain (cancelled)'],
];

const MODEL_ACTIVITY: keyof ModelActivities = 'holdfastCallModel';

type Text = string | null | undefined;

function activityCommand(type: Text, id: Text): Command {
  const words = type === MODEL_ACTIVITY ? `the model call ${id}` : `the activity ${type} (${id})`;
  return { kind: 'activity', id: id ?? '', type: type ?? '', words };
}

function localActivityCommand(
  type: Text,
  seq: number | null | undefined,
  summary: Payload | null | undefined,
): Command {
  const said = json(summary);
  const words = typeof said === 'string' ? `"${said}" (local activity ${type})` : `the local activity ${type}`;
  return { kind: 'local activity', id: String(seq ?? ''), type: type ?? '', words };
}

function timerCommand(id: Text | number, duration: google.protobuf.IDuration | null | undefined): Command {
  const seconds = Number(duration?.seconds ?? 0) + (duration?.nanos ?? 0) / 1e9;
  return { kind: 'timer', id: String(id ?? ''), type: '', words: `a timer of ${seconds} s` };
}

function childCommand(type: Text, id: Text): Command {
  return { kind: 'child workflow', id: id ?? '', type: type ?? '', words: `the child workflow ${type} (${id})` };
}

function signalCommand(name: Text, workflowId: Text): Command {
  return { kind: 'other', id: '', type: '', words: `the signal ${name} to ${workflowId}` };
}

function patchCommand(id: Text): Command {
  return { kind: 'patch', id: id ?? '', type: '', words: `the patch "${id}"` };
}

/** What the SDK wrote as JSON; undefined when it is something else, as in histories of other SDKs. */
function json(payload: Payload | null | undefined): unknown {
  if (payload?.data == null) return undefined;
  try {
    return JSON.parse(Buffer.from(payload.data).toString('utf8'));
  } catch {
    return undefined;
  }
}
