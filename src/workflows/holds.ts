import { defineSearchAttributeKey } from '@temporalio/common';
import {
  ApplicationFailure,
  CancellationScope,
  condition,
  log,
  TemporalFailure,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { HoldOutcome, HoldRequest, SettledDecision } from '../contracts/holds.js';
import type { DecideHoldInput, DecideSignalInput } from '../contracts/messages.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { callEngine } from './engine-activities.js';
import { chainRef, engineState, type OpenHold } from './engine-state.js';

/**
 * Parks the calling branch until somebody decides, and returns the decision. The rest of the chain goes on. Returns at
 * once when the store has a decision already, which is so after a reset. Throws `CancelledFailure` with the chain.
 */
export async function waitAtHold(request: HoldRequest): Promise<SettledDecision> {
  const { holdId } = request;
  const earlier = await callEngine('holdfastOpenHold', { ...chainRef(), ...request }, `hold ${holdId}`);
  if (earlier !== null) {
    engineState.decided.set(holdId, earlier);
    return earlier;
  }
  const hold: OpenHold = { request };
  engineState.openHolds.set(holdId, hold);
  publishHolds();
  try {
    await condition(() => hold.decision !== undefined);
  } finally {
    engineState.openHolds.delete(holdId);
    publishHolds();
  }
  const decision = hold.decision as SettledDecision;
  engineState.decided.set(holdId, decision);
  return decision;
}

/** Rejects a decision that cannot count, before it is written to history. */
export function validateDecision(input: DecideHoldInput): void {
  if (input?.verdict !== 'retry' || typeof input.holdId !== 'string' || typeof input.by !== 'string') {
    throw ApplicationFailure.nonRetryable('A decision needs { holdId, verdict: "retry", by }.', 'BadDecision');
  }
  const decided = engineState.decided.get(input.holdId) ?? engineState.openHolds.get(input.holdId)?.decision;
  if (decided !== undefined) {
    throw ApplicationFailure.nonRetryable(
      `Hold ${input.holdId} was already decided by ${decided.by} at ${decided.at}: ${decided.verdict}.`,
      'AlreadyDecided',
    );
  }
  if (!engineState.openHolds.has(input.holdId)) {
    const open = [...engineState.openHolds.keys()].join(', ') || 'none';
    throw ApplicationFailure.nonRetryable(`No open hold ${input.holdId}; open holds: ${open}.`, 'HoldNotFound');
  }
}

/** Decides an open hold. The store is the arbiter, since a client may have decided there while no worker ran. */
export async function decideHold({ holdId, verdict, by, note }: DecideHoldInput): Promise<HoldOutcome> {
  const hold = engineState.openHolds.get(holdId);
  if (hold === undefined) throw ApplicationFailure.nonRetryable(`No open hold ${holdId}.`, 'HoldNotFound');
  const decision = { verdict, by, ...(note === undefined ? {} : { note }) };
  // Whoever asked is waiting for the answer, also when the chain is cancelled meanwhile.
  const outcome = await CancellationScope.nonCancellable(() =>
    callEngine('holdfastDecideHold', { ...chainRef(), holdId, decision }, `decide ${holdId}: ${verdict}`),
  );
  hold.decision ??= outcome.decision;
  return outcome;
}

/**
 * Takes a decision that came as a signal. One that fits no open hold changes nothing: a signal has no answer. Not part of
 * the chain's cancellation, and what fails is logged: a handler that throws would end the workflow, past its clean-up.
 */
export async function receiveSignal(input: DecideSignalInput | undefined): Promise<void> {
  const wanted = typeof input?.holdId === 'string' ? [input.holdId] : [...engineState.openHolds.keys()];
  for (const holdId of wanted) {
    const hold = engineState.openHolds.get(holdId);
    if (hold === undefined || hold.decision !== undefined) continue;
    try {
      await CancellationScope.nonCancellable(() => takeSignal(hold, holdId, input));
    } catch (error) {
      if (!(error instanceof TemporalFailure)) throw error;
      log.warn(`The decision about hold ${holdId} could not be taken: ${error.message}. It will be sent again.`);
    }
  }
}

async function takeSignal(hold: OpenHold, holdId: string, input: DecideSignalInput | undefined): Promise<void> {
  if (input?.verdict === 'retry') {
    const note = typeof input.note === 'string' ? input.note : undefined;
    await decideHold({ holdId, verdict: 'retry', by: String(input.by ?? 'a signal'), ...(note && { note }) });
    return;
  }
  const decision = await callEngine('holdfastReadHold', { ...chainRef(), holdId }, `look up ${holdId}`);
  if (decision !== null) hold.decision ??= decision;
}

const stateKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.state.name, SEARCH_ATTRIBUTES.state.type);
const kindKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.holdKind.name, SEARCH_ATTRIBUTES.holdKind.type);
const reasonKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.reason.name, SEARCH_ATTRIBUTES.reason.type);
const stepKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.step.name, SEARCH_ATTRIBUTES.step.type);

/** Shows the open holds in Temporal's UI, CLI and visibility. */
function publishHolds(): void {
  const requests = [...engineState.openHolds.values()].map((hold) => hold.request);
  const distinct = (values: string[]): string[] | null => (values.length === 0 ? null : [...new Set(values)]);
  upsertSearchAttributes([
    { key: stateKey, value: requests.length === 0 ? 'running' : 'held' },
    { key: kindKey, value: distinct(requests.map(({ kind }) => kind)) },
    { key: reasonKey, value: distinct(requests.map(({ reason }) => reason)) },
    { key: stepKey, value: distinct(requests.map(({ step }) => step)) },
  ]);
}
