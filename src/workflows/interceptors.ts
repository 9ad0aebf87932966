import { defineSearchAttributeKey } from '@temporalio/common';
import {
  allHandlersFinished,
  CancellationScope,
  ContinueAsNew,
  condition,
  defaultPayloadConverter,
  defineSignal,
  defineUpdate,
  isCancellation,
  setHandler,
  TemporalFailure,
  type WorkflowExecuteInput,
  type WorkflowInboundCallsInterceptor,
  type WorkflowInterceptors,
  type WorkflowOutboundCallsInterceptor,
  workflowInfo,
} from '@temporalio/workflow';
import type { BeginScheduledInput, CloseChainInput } from '../contracts/activities.js';
import {
  DECIDE_HOLD_SIGNAL,
  DECIDE_HOLD_UPDATE,
  type DecideHoldInput,
  type DecideHoldResult,
  type DecideSignalInput,
  HEADER_LINEAGE,
  MEMO_CHAIN,
  WAKE_SIGNAL,
} from '../contracts/messages.js';
import { SCHEDULED_TIME, type ScheduleMemo } from '../contracts/schedules.js';
import { callEngine } from './engine-activities.js';
import { chainRef, engineState, type Lineage } from './engine-state.js';
import { decideHold, receiveSignal, validateDecision } from './holds.js';
import { claimChainScopes, isScoped } from './scopes.js';
import { showEnd } from './show-chain.js';

export const decideHoldUpdate = defineUpdate<DecideHoldResult, [DecideHoldInput]>(DECIDE_HOLD_UPDATE);
export const decideHoldSignal = defineSignal<[DecideSignalInput]>(DECIDE_HOLD_SIGNAL);
export const wakeSignal = defineSignal(WAKE_SIGNAL);

const scheduledTimeKey = defineSearchAttributeKey(SCHEDULED_TIME, 'DATETIME');

/** Makes every workflow of a worker a chain that takes decisions and records its end. */
export const interceptors = (): WorkflowInterceptors => ({ inbound: [inbound], outbound: [outbound] });

const inbound: WorkflowInboundCallsInterceptor = {
  async execute(input, next) {
    inheritLineage(input);
    engineState.input = input.args[0];
    setHandler(decideHoldUpdate, decideHold, { validator: validateDecision });
    setHandler(decideHoldSignal, receiveSignal);
    setHandler(wakeSignal, () => {
      engineState.wakes += 1;
    });
    try {
      // Not awaited by others: signals that came with their start would go before their function.
      const scheduled = scheduledBeginning(input);
      if (scheduled !== undefined)
        await callEngine('holdfastBeginScheduled', scheduled, `begin: ${scheduled.schedule}`);
      if (isScoped()) await claimChainScopes();
      const output = await next(input);
      await close({ ...chainRef(), state: 'completed', output: output ?? null });
      return output;
    } catch (error) {
      // Anything but Temporal's own failures fails the workflow task, not the workflow: the chain is stuck, not closed.
      if (error instanceof ContinueAsNew || !(error instanceof TemporalFailure)) throw error;
      const state = isCancellation(error) ? 'cancelled' : 'failed';
      await close({ ...chainRef(), state, message: rootMessage(error) });
      throw error;
    }
  },
};

const outbound: WorkflowOutboundCallsInterceptor = {
  continueAsNew(input, next) {
    const lineage: Lineage = { generation: engineState.generation + 1, calls: engineState.calls };
    const payload = defaultPayloadConverter.toPayload(lineage);
    return next({ ...input, headers: { ...input.headers, [HEADER_LINEAGE]: payload } });
  },
};

/** What the row of a chain that a schedule has started is made of; the next run of one that continued as new has it. */
function scheduledBeginning({ args }: WorkflowExecuteInput): BeginScheduledInput | undefined {
  const { memo, typedSearchAttributes } = workflowInfo();
  const scheduled = memo?.[MEMO_CHAIN] as Partial<ScheduleMemo> | undefined;
  const scheduledAt = typedSearchAttributes.get(scheduledTimeKey)?.toISOString();
  // Chains that intake has started have the memo without a schedule.
  if (scheduled?.schedule === undefined || scheduledAt === undefined) return undefined;
  return { ...(scheduled as ScheduleMemo), ...chainRef(), scheduledAt, input: args[0] };
}

function inheritLineage({ headers }: WorkflowExecuteInput): void {
  const payload = headers[HEADER_LINEAGE];
  if (payload === undefined) return;
  const lineage = defaultPayloadConverter.fromPayload<Lineage>(payload);
  engineState.generation = lineage.generation;
  engineState.calls = { ...lineage.calls };
}

/** Records how the chain ended, also when it was cancelled. A workflow that is no chain leaves no trace. */
async function close(end: CloseChainInput): Promise<void> {
  const isChain = workflowInfo().memo?.[MEMO_CHAIN] !== undefined || Object.keys(engineState.calls).length > 0;
  if (!isChain) return;
  await CancellationScope.nonCancellable(async () => {
    await condition(allHandlersFinished);
    await callEngine('holdfastCloseChain', end, `close: ${end.state}`);
    showEnd(end.state);
  });
}

function rootMessage(error: Error): string {
  let root = error;
  while (root.cause instanceof Error) root = root.cause;
  return root.message;
}
