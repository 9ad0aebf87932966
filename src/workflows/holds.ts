import { defineSearchAttributeKey } from '@temporalio/common';
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  condition,
  log,
  sleep,
  TemporalFailure,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import {
  DEADLINE,
  flawOf,
  type HoldOutcome,
  type HoldRequest,
  type SettledDecision,
  verdictsOf,
} from '../contracts/holds.js';
import type { DecideHoldInput, DecideSignalInput } from '../contracts/messages.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { callEngine } from './engine-activities.js';
import { chainRef, engineState, type OpenHold } from './engine-state.js';
import { lendWhileHeld, regainScopes } from './scopes.js';
import { showDetails } from './show-chain.js';

/**
 * Parks the calling branch until somebody decides, and returns the decision. The rest of the chain goes on. Returns at
 * once when the store has a decision already, which is so after a reset. Throws `CancelledFailure` with the chain.
 */
export async function waitAtHold(request: HoldRequest, deadlineMs?: number): Promise<SettledDecision> {
  const { holdId } = request;
  const earlier = await callEngine('holdfastOpenHold', { ...chainRef(), ...request }, `hold ${holdId}`);
  if (earlier !== null) {
    engineState.decided.set(holdId, earlier);
    return earlier;
  }
  const hold: OpenHold = { request };
  engineState.openHolds.set(holdId, hold);
  publishHolds();
  const lending = engineState.scopes?.releaseOnHold ? lendWhileHeld(hold) : undefined;
  // Cancelled with the wait below, which says so.
  lending?.catch(() => {});
  try {
    if (deadlineMs !== undefined) await decideAtDeadline(hold, deadlineMs);
    await condition(() => hold.decision !== undefined);
  } finally {
    engineState.openHolds.delete(holdId);
    publishHolds();
  }
  const decision = hold.decision as SettledDecision;
  engineState.decided.set(holdId, decision);
  if (lending !== undefined) {
    await lending;
    await regainScopes();
  }
  return decision;
}

async function decideAtDeadline(hold: OpenHold, ms: number): Promise<void> {
  const { holdId, onTimeout = 'reject' } = hold.request;
  const isDecided = () => hold.decision !== undefined;
  const timer = new CancellationScope();
  const inTime = await Promise.race([
    condition(isDecided).then(() => true),
    timer.run(() => sleep(ms, { summary: `deadline of ${holdId}` })).then(() => false),
  ]);
  if (inTime) timer.cancel();
  // The store may know of a decision that was made in time and has not come here: then that one counts.
  else await decideHold({ holdId, verdict: onTimeout, by: DEADLINE });
}

/** Rejects a decision that cannot count, before it is written to history. */
export function validateDecision(input: DecideHoldInput): void {
  if (typeof input?.holdId !== 'string') {
    throw ApplicationFailure.nonRetryable('A decision needs { holdId, verdict, by }.', 'BadDecision');
  }
  const decided = engineState.decided.get(input.holdId) ?? engineState.openHolds.get(input.holdId)?.decision;
  if (decided !== undefined) {
    throw ApplicationFailure.nonRetryable(
      `Hold ${input.holdId} was already decided by ${decided.by} at ${decided.at}: ${decided.verdict}.`,
      'AlreadyDecided',
    );
  }
  const hold = engineState.openHolds.get(input.holdId);
  if (hold === undefined) {
    const open = [...engineState.openHolds.keys()].join(', ') || 'none';
    throw ApplicationFailure.nonRetryable(`No open hold ${input.holdId}; open holds: ${open}.`, 'HoldNotFound');
  }
  const flaw = flawOf({ id: input.holdId, ...hold.request }, input);
  if (flaw !== undefined) throw ApplicationFailure.nonRetryable(flaw, 'BadDecision');
}

/**
 * Decides an open hold. The store is the arbiter, since a client may have decided there while no worker ran. Throws an
 * `ApplicationFailure` for an edit that does not fit.
 */
export async function decideHold({ holdId, ...decision }: DecideHoldInput): Promise<HoldOutcome> {
  const hold = engineState.openHolds.get(holdId);
  if (hold === undefined) throw ApplicationFailure.nonRetryable(`No open hold ${holdId}.`, 'HoldNotFound');
  engineState.decisions += 1;
  // Not a random id: that would take from the numbers that the author's own ids are made of.
  const decisionId = `${workflowInfo().runId}-${engineState.decisions}`;
  const input = { ...chainRef(), holdId, decision, decisionId };
  try {
    // Whoever asked is waiting for the answer, also when the chain is cancelled meanwhile.
    const outcome = await CancellationScope.nonCancellable(() =>
      callEngine('holdfastDecideHold', input, `decide ${holdId}: ${decision.verdict}`),
    );
    // A decision to cancel comes as the chain's cancellation.
    if (outcome.decision.verdict !== 'cancel') hold.decision ??= outcome.decision;
    return outcome;
  } catch (error) {
    // The caller of an update is shown the message of the failure itself, not that an activity failed.
    throw error instanceof ActivityFailure && error.cause instanceof ApplicationFailure ? error.cause : error;
  }
}

/**
 * Takes a decision that came as a signal. One that fits no open hold changes nothing: a signal has no answer. Not part of
 * the chain's cancellation, and what fails is logged: a handler that throws would end the workflow, past its clean-up.
 */
export async function receiveSignal(input: DecideSignalInput | undefined): Promise<void> {
  for (const hold of holdsMeantBy(input)) {
    const { holdId } = hold.request;
    try {
      await CancellationScope.nonCancellable(() => takeSignal(hold, input));
    } catch (error) {
      if (!(error instanceof TemporalFailure)) throw error;
      log.warn(`The decision about hold ${holdId} could not be taken: ${error.message}`);
    }
  }
}

/** The undecided holds that a signal is for. */
function holdsMeantBy(input: DecideSignalInput | undefined): OpenHold[] {
  const undecided = [...engineState.openHolds.values()].filter(({ decision }) => decision === undefined);
  if (input?.holdId !== undefined) return undecided.filter(({ request }) => request.holdId === input.holdId);
  const verdict = input?.verdict;
  if (verdict === undefined) return undecided;
  const fitting = undecided.filter(({ request }) => verdictsOf(request).includes(verdict));
  if (verdict === 'retry' || fitting.length <= 1) return fitting;
  log.warn(`A signal says ${verdict} and names no hold, but ${fitting.length} approvals are open: it is for none.`);
  return [];
}

async function takeSignal(hold: OpenHold, input: DecideSignalInput | undefined): Promise<void> {
  const { holdId } = hold.request;
  if (input?.verdict !== undefined) {
    const { verdict, by = 'a signal', note, edit } = input;
    const decision = {
      verdict,
      by,
      ...(note === undefined ? {} : { note }),
      ...(edit === undefined ? {} : { edit }),
    };
    const flaw = flawOf({ id: holdId, ...hold.request }, decision);
    if (flaw === undefined) await decideHold({ holdId, ...decision });
    else log.warn(`A signal decides nothing: ${flaw}`);
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
  showDetails();
  const requests = [...engineState.openHolds.values()].map((hold) => hold.request);
  const distinct = (values: string[]): string[] | null => (values.length === 0 ? null : [...new Set(values)]);
  upsertSearchAttributes([
    { key: stateKey, value: requests.length === 0 ? 'running' : 'held' },
    { key: kindKey, value: distinct(requests.map(({ kind }) => kind)) },
    { key: reasonKey, value: distinct(requests.map(({ reason }) => reason)) },
    { key: stepKey, value: distinct(requests.map(({ step }) => step)) },
  ]);
}
