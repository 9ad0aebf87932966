import { randomUUID } from 'node:crypto';
import { activityInfo } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { STEP_FAILURE } from '../../src/contracts/activities.js';
import { DECIDE_HOLD_SIGNAL } from '../../src/contracts/messages.js';
import { ENGINE_TASK_QUEUE } from '../../src/contracts/queues.js';
import { bundleTestChains, type RecordedEngine, withRecordedEngine } from '../support/chain-environment.js';
import { createDevServer } from '../support/dev-server.js';

let environment: TestWorkflowEnvironment;
let bundle: WorkflowBundle;

beforeAll(async () => {
  [environment, bundle] = await Promise.all([createDevServer(), bundleTestChains()]);
});
afterAll(() => environment?.teardown());

const refuse = () => {
  throw ApplicationFailure.create({
    type: STEP_FAILURE,
    nonRetryable: true,
    details: [{ reason: 'refusal', message: 'no' }],
  });
};

test('a chain that is cancelled while a decision is being recorded ends as cancelled, and is closed', async () => {
  const run = async (engine: RecordedEngine) => {
    let record = (): void => {};
    const mayRecord = new Promise<void>((resolve) => {
      record = resolve;
    });
    let asked = false;
    // A store that is away for the local activity, so that the decision hangs in a normal one when the cancellation comes:
    // beside a local one no cancellation is delivered.
    engine.beforeDecision = async () => {
      if (activityInfo().isLocal) throw new Error('the store is away');
      asked = true;
      await mayRecord;
    };
    const handle = await environment.client.workflow.start('inSequence', {
      taskQueue: engine.taskQueue,
      workflowId: randomUUID(),
      args: [['a']],
    });
    await expect.poll(() => engine.holds.has('echo-1'), { timeout: 30_000 }).toBe(true);
    await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'retry' });
    await expect.poll(() => asked, { timeout: 30_000 }).toBe(true);
    await handle.cancel();
    const wasTold = async () => {
      const { events } = await handle.fetchHistory();
      const cancel = events?.findIndex((event) => event.workflowExecutionCancelRequestedEventAttributes) ?? -1;
      return cancel !== -1 && events?.slice(cancel).some((event) => event.workflowTaskCompletedEventAttributes);
    };
    await expect.poll(wasTold).toBe(true);
    record();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(engine.closed).toMatchObject([{ state: 'cancelled' }]);
  };
  await withRecordedEngine(environment, bundle, refuse, run, ENGINE_TASK_QUEUE);
});
