import type { WorkflowView } from '../intake/reconcile.js';
import type { PendingStep } from './build-status.js';

/** The engine names its model activities `step-call` or `step-call-round`. */
const ACTIVITY_ID = /^(?<name>.+?)-(?<call>\d+)(?:-\d+)?$/;

/** The steps that are being called now, by what Temporal says. */
export function pendingSteps(view: WorkflowView | undefined): PendingStep[] {
  if (view?.kind !== 'open') return [];
  return (view.description.raw.pendingActivities ?? []).flatMap(({ activityId, activityType }) => {
    const match = activityType?.name === 'holdfastCallModel' ? ACTIVITY_ID.exec(activityId ?? '') : null;
    return match?.groups === undefined ? [] : [{ name: match.groups.name as string, call: Number(match.groups.call) }];
  });
}

/** Why a chain cannot go on by itself although it is open; null when it can, or when nobody knows. */
export function whyStuck(view: WorkflowView | undefined): string | null {
  if (view?.kind === 'missing') {
    return 'Temporal has no workflow for it. Is this the Temporal that it was started on? If it is lost, cancel the chain and submit it anew.';
  }
  if (view?.kind !== 'open') return null;
  const problems = view.description.searchAttributes.TemporalReportedProblems;
  if (!Array.isArray(problems) || problems.length === 0) return null;
  return `The workflow's code keeps failing (${problems.join(', ')}). Deploy a version that can go on from its history.`;
}
