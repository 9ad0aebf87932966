import { defineSearchAttributeKey } from '@temporalio/common';
import { patched, setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { ClosedState } from '../contracts/chains.js';
import { type HoldRequest, type HoldVerdict, verdictsOf } from '../contracts/holds.js';
import { DECIDE_HOLD_SIGNAL } from '../contracts/messages.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { engineState } from './engine-state.js';

// What people see of a chain in Temporal's UI, CLI and visibility. Search attributes are commands: those that version 0.1.0
// did not give stand behind patched(), so that the chains which it started go on.

const stateKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.state.name, SEARCH_ATTRIBUTES.state.type);
const tenantKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.tenant.name, SEARCH_ATTRIBUTES.tenant.type);

/** Shows whose work a chain is that was started without intake: by a parent, a bare client or Temporal's UI. */
export function showTenant(tenant: string): void {
  const { typedSearchAttributes } = workflowInfo();
  if (typedSearchAttributes.get(tenantKey) !== undefined || !patched('holdfast-tenant')) return;
  // A branch may be held already.
  const state = typedSearchAttributes.get(stateKey) ?? 'running';
  upsertSearchAttributes([
    { key: stateKey, value: state },
    { key: tenantKey, value: tenant },
  ]);
}

/** Shows how a chain ended; the other attributes stay as they are. */
export function showEnd(state: ClosedState): void {
  if (patched('holdfast-final-state')) upsertSearchAttributes([{ key: stateKey, value: state }]);
}

/** Shows what a chain does now in the details of its workflow. They are answers to a query and no part of history. */
export function showDetails(): void {
  const { openSteps, finishedSteps, parkedSteps, openHolds } = engineState;
  const finished = Object.entries(finishedSteps).map(([step, count]) => (count === 1 ? step : `${step} (${count})`));
  const requests = [...openHolds.values()].map(({ request }) => request);
  const held = new Set(requests.map(({ step, call }) => `${step} ${call}`));
  const running = [...openSteps].filter((name) => !held.has(name) && !parkedSteps.has(name));
  setCurrentDetails(
    [
      `**Now:** ${running.join(', ') || idleBecause(requests.length, parkedSteps.size)}`,
      `**Steps done in this run:** ${finished.join(', ') || 'none'}`,
      ...[...parkedSteps].map(([name, cause]) => `**Parked:** ${name}, ${cause}`),
      ...requests.map(holdDetails),
      `Attempts and cost: \`holdfast status ${workflowInfo().workflowId}\``,
    ].join('\n\n'),
  );
}

function idleBecause(held: number, parked: number): string {
  if (held > 0) return 'waits for a decision';
  return parked > 0 ? 'is parked' : 'no step is open';
}

/** What a command must say besides. */
const NEEDS: Partial<Record<HoldVerdict, string>> = {
  resolve: ' --result FILE --reason TEXT',
  skip: ' --reason TEXT',
  cancel: ' --reason TEXT',
};

function holdDetails(request: HoldRequest): string {
  const { holdId, kind, step, reason, message, deadline } = request;
  const { workflowId } = workflowInfo();
  const verdicts = verdictsOf(request);
  const command = kind === 'failure' ? 'holdfast dead-letters' : 'holdfast';
  const ways = verdicts.map(
    (verdict) => `- \`${command} ${verdict} ${workflowId} --hold ${holdId}${NEEDS[verdict] ?? ''}\``,
  );
  const signal = JSON.stringify({ holdId, verdict: verdicts[0], by: 'your name' });
  return [
    `**Held at ${step}** (${holdId}, ${reason}): ${message}`,
    ...(deadline === undefined ? [] : [`The chain decides by itself at ${deadline}.`]),
    '',
    ...ways,
    `- or the signal \`${DECIDE_HOLD_SIGNAL}\` with \`${signal}\``,
  ].join('\n');
}
