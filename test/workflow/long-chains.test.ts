import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { STEP_FAILURE, type StepCall } from '../../src/contracts/activities.js';
import { DECIDE_HOLD_SIGNAL } from '../../src/contracts/messages.js';
import type { StepResult } from '../../src/contracts/steps.js';
import { bundleTestChains, type RecordedEngine, withRecordedEngine } from '../support/chain-environment.js';
import { createDevServer } from '../support/dev-server.js';

let environment: TestWorkflowEnvironment;
let bundle: WorkflowBundle;

beforeAll(async () => {
  [environment, bundle] = await Promise.all([
    // The server suggests to continue as new after so many events; its own default is 4,096.
    createDevServer({ 'limit.historyCount.suggestContinueAsNew': '100' }),
    bundleTestChains(),
  ]);
});
afterAll(() => environment?.teardown());

const echo = ({ step, call, input }: StepCall): StepResult<unknown> => ({
  output: `${step} ${call}: ${(input as { text: string }).text}`,
  conversation: `turn of ${step} ${call}`,
});

const texts = Array.from({ length: 40 }, (_, index) => `text ${index}`);

async function runsOf(workflowId: string): Promise<number> {
  let runs = 0;
  for await (const _ of environment.client.workflow.list({ query: `WorkflowId = "${workflowId}"` })) runs += 1;
  return runs;
}

function start(engine: RecordedEngine, workflow: string, ...args: unknown[]) {
  return environment.client.workflow.start(workflow, { taskQueue: engine.taskQueue, workflowId: randomUUID(), args });
}

describe('a chain whose history grows long', () => {
  test('continues as new, and takes its finished steps from the journal', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      const handle = await start(engine, 'inSequence', texts);
      const outputs = (await handle.result()) as string[];
      expect(outputs).toHaveLength(texts.length);
      expect(outputs[39]).toBe('echo 40: text 39');
      expect(engine.calls).toHaveLength(texts.length);
      await expect.poll(() => runsOf(handle.workflowId)).toBeGreaterThan(1);
      expect(engine.closed).toHaveLength(1);
    });
  });

  test('does not do so when it uses more than steps', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      const handle = await start(engine, 'timerThenSequence', texts);
      expect(await handle.result()).toHaveLength(texts.length);
      await expect.poll(() => runsOf(handle.workflowId)).toBe(1);
    });
  });

  test('does not do so while it is held', async () => {
    const refuseOne = (call: StepCall, attempt: number) => {
      if ((call.input as { text: string }).text === 'hold me' && attempt === 1) {
        throw ApplicationFailure.create({
          type: STEP_FAILURE,
          nonRetryable: true,
          details: [{ reason: 'refusal', message: 'no' }],
        });
      }
      return echo(call);
    };
    await withRecordedEngine(environment, bundle, refuseOne, async (engine) => {
      const handle = await start(engine, 'besideOneHeld', texts);
      await expect.poll(() => engine.calls.length, { timeout: 20_000 }).toBe(texts.length + 1);
      expect(await runsOf(handle.workflowId)).toBe(1);
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'retry' });
      expect(await handle.result()).toHaveLength(texts.length);
    });
  });
});
