import { createHash } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import type { PlannedCall } from '../contracts/activities.js';
import type { AnyStep, StepResult } from '../contracts/steps.js';
import { type JournalKey, recordResolution } from '../store/attempts.js';
import type { ChainHead } from '../store/chains.js';
import { encodeTurns } from '../store/conversations.js';
import type { Store } from '../store/database.js';
import { findHold } from '../store/holds.js';
import { prepareCall, textTurn } from './prepare-call.js';
import { laneOf } from './route-step.js';

/**
 * Writes the result that a person gave for a call into its journal, and returns it: later steps and later runs find it
 * there like an answer of the model. It adds the turns to the conversation that the model would have added.
 */
export async function resolveStep(
  store: Store,
  chain: ChainHead,
  key: JournalKey,
  { call, step, quotaGroup, runId }: { call: PlannedCall; step: AnyStep; quotaGroup: string; runId: string },
): Promise<StepResult<unknown>> {
  const hold = await findHold(store, { chainId: chain.id, firstRunId: call.firstRunId }, call.resolvedAt ?? '');
  if (hold?.verdict !== 'resolve' || hold.edit === null) {
    throw ApplicationFailure.nonRetryable(`Nobody has resolved ${call.resolvedAt}.`, 'NotResolved');
  }
  const output: unknown = JSON.parse(hold.edit);
  const input: unknown = hold.input === null ? null : JSON.parse(hold.input);
  const text = typeof output === 'string' ? output : JSON.stringify(output);
  const asked = await prepareCall(step, { ...call, input }, [], async () => new Map())
    .then(({ userTurn }) => userTurn)
    // It may be the very reason why it was held: then the input itself stands for the prompt.
    .catch(() => textTurn('user', JSON.stringify(input)));
  const turns = encodeTurns(call.continues, [asked, textTurn('assistant', text)]);
  const result: StepResult<unknown> = { output, conversation: turns.last };
  await recordResolution(store, key, {
    tenant: chain.tenant,
    runId,
    call: call.call,
    round: call.round,
    model: step.model,
    lane: laneOf(step),
    quotaGroup,
    promptHash: createHash('sha256').update(JSON.stringify(asked)).digest('hex'),
    turns: turns.bytes,
    result: JSON.stringify(result),
  });
  return result;
}
