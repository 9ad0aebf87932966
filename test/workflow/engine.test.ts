import { randomUUID } from 'node:crypto';
import { type Client, WorkflowFailedError, type WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { STEP_FAILURE, type StepCall } from '../../src/contracts/activities.js';
import { DECIDE_HOLD_SIGNAL, DECIDE_HOLD_UPDATE } from '../../src/contracts/messages.js';
import type { StepResult } from '../../src/contracts/steps.js';
import {
  bundleTestChains,
  createTimeSkippingEnvironment,
  type RecordedEngine,
  withRecordedEngine,
} from '../support/chain-environment.js';

let environment: TestWorkflowEnvironment;
let bundle: WorkflowBundle;
let client: Client;

beforeAll(async () => {
  [environment, bundle] = await Promise.all([createTimeSkippingEnvironment(), bundleTestChains()]);
  client = environment.client;
});
afterAll(() => environment?.teardown());

const echo = ({ step, call, input }: StepCall): StepResult<unknown> => ({
  output: `${step} ${call}: ${(input as { text: string }).text}`,
  conversation: `turn of ${step} ${call}`,
});

const refused = () =>
  ApplicationFailure.create({
    type: STEP_FAILURE,
    nonRetryable: true,
    message: 'refusal',
    details: [{ reason: 'refusal', message: 'I would rather not.' }],
  });

function start(engine: RecordedEngine, workflow: string, ...args: unknown[]) {
  return client.workflow.start(workflow, { taskQueue: engine.taskQueue, workflowId: randomUUID(), args });
}

describe('steps', () => {
  test('run in sequence, each continuing the conversation of the one before', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      const handle = await start(engine, 'inSequence', ['a', 'b']);
      expect(await handle.result()).toEqual(['echo 1: a', 'echo 2: b']);
      expect(engine.calls.map(({ continues }) => continues)).toEqual([undefined, 'turn of echo 1']);
      expect(engine.closed).toMatchObject([{ state: 'completed', output: ['echo 1: a', 'echo 2: b'] }]);
    });
  });

  test('fork a conversation when they run in parallel', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      const handle = await start(engine, 'forked', ['x', 'y', 'z']);
      await handle.result();
      const forks = engine.calls.filter(({ step }) => step === 'echo');
      expect(forks.map(({ continues }) => continues)).toEqual(Array(3).fill('turn of other 1'));
    });
  });

  test('that are identical are as many calls as there are', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      const handle = await start(engine, 'identicalCalls', 3);
      expect(await handle.result()).toHaveLength(3);
      expect(engine.calls.map(({ occurrence }) => occurrence).sort()).toEqual([0, 1, 2]);
      expect(new Set(engine.calls.map(({ inputHash }) => inputHash)).size).toBe(1);
    });
  });

  test('that the journal knows are not called again', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      engine.plan = ({ step }) =>
        step === 'echo' ? { kind: 'reuse', result: { output: 'from the journal', conversation: 'c' } } : undefined;
      const handle = await start(engine, 'inSequence', ['a']);
      expect(await handle.result()).toEqual(['from the journal']);
      expect(engine.calls).toEqual([]);
    });
  });

  test('of the next run are new calls, with numbers that go on', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      const handle = await start(engine, 'overRuns', 3, []);
      expect(await handle.result()).toEqual(['echo 1: each run', 'echo 2: each run', 'echo 3: each run']);
      expect(new Set(engine.calls.map(({ inputHash }) => inputHash)).size).toBe(3);
      expect(new Set(engine.calls.map(({ firstRunId }) => firstRunId)).size).toBe(1);
    });
  });
});

describe('a step that cannot go on', () => {
  const refuseOnce = (call: StepCall, attempt: number) => {
    if (attempt === 1) throw refused();
    return echo(call);
  };

  test('is held with its reason, and goes on after a retry by update', async () => {
    await withRecordedEngine(environment, bundle, refuseOnce, async (engine) => {
      const handle = await start(engine, 'inSequence', ['a']);
      await expect
        .poll(() => engine.holds.get('echo-1'))
        .toMatchObject({ reason: 'refusal', message: 'I would rather not.' });
      const decision = { holdId: 'echo-1', verdict: 'retry', by: 'ann' };
      expect(await handle.executeUpdate(DECIDE_HOLD_UPDATE, { args: [decision] })).toMatchObject({
        accepted: true,
        decision: { by: 'ann' },
      });
      expect(await handle.result()).toEqual(['echo 1: a']);
      expect(engine.calls.map(({ round }) => round)).toEqual([0, 1]);
    });
  });

  test('goes on after a retry by a plain signal that names no hold', async () => {
    await withRecordedEngine(environment, bundle, refuseOnce, async (engine) => {
      const handle = await start(engine, 'inSequence', ['a']);
      await expect.poll(() => engine.holds.has('echo-1')).toBe(true);
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'retry' });
      expect(await handle.result()).toEqual(['echo 1: a']);
    });
  });

  test('takes a decision that stands in the store when it is told to look', async () => {
    await withRecordedEngine(environment, bundle, refuseOnce, async (engine) => {
      const handle = await start(engine, 'inSequence', ['a']);
      await expect.poll(() => engine.holds.has('echo-1')).toBe(true);
      await engine.holdfastDecideHold({
        chain: 'inSequence',
        firstRunId: 'r',
        holdId: 'echo-1',
        decision: { verdict: 'retry', by: 'the store' },
        decisionId: 'd',
      });
      await handle.signal(DECIDE_HOLD_SIGNAL, { holdId: 'echo-1' });
      expect(await handle.result()).toEqual(['echo 1: a']);
    });
  });

  test('leaves parallel steps undisturbed', async () => {
    const refuseX = (call: StepCall, attempt: number) => {
      if ((call.input as { text: string }).text === 'x' && attempt === 1) throw refused();
      return echo(call);
    };
    await withRecordedEngine(environment, bundle, refuseX, async (engine) => {
      const handle = await start(engine, 'forked', ['x', 'y', 'z']);
      await expect.poll(() => engine.holds.size).toBe(1);
      await expect.poll(() => engine.calls.length).toBe(4);
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'retry' });
      expect(await handle.result()).toHaveLength(3);
      expect(engine.calls).toHaveLength(5);
    });
  });

  test('is held again, under another name, when it fails again', async () => {
    const refuseTwice = (call: StepCall, attempt: number) => {
      if (attempt <= 2) throw refused();
      return echo(call);
    };
    await withRecordedEngine(environment, bundle, refuseTwice, async (engine) => {
      const handle = await start(engine, 'inSequence', ['a']);
      for (const hold of ['echo-1', 'echo-1-2']) {
        await expect.poll(() => engine.holds.has(hold)).toBe(true);
        await handle.signal(DECIDE_HOLD_SIGNAL, { holdId: hold, verdict: 'retry' });
      }
      await handle.result();
    });
  });

  test('tells a second decider who was first, and rejects decisions about nothing', async () => {
    const refuseTwice = (call: StepCall, attempt: number) => {
      if (attempt <= 2) throw refused();
      return echo(call);
    };
    await withRecordedEngine(environment, bundle, refuseTwice, async (engine) => {
      const handle = await start(engine, 'inSequence', ['a']);
      await expect.poll(() => engine.holds.has('echo-1')).toBe(true);
      const decide = (holdId: string, verdict = 'retry') =>
        handle.executeUpdate(DECIDE_HOLD_UPDATE, { args: [{ holdId, verdict, by: 'ann' }] });
      const messageOf = (promise: Promise<unknown>) =>
        promise.then(
          () => 'accepted',
          (error: unknown) => (error as WorkflowUpdateFailedError).cause?.message ?? String(error),
        );
      expect(await messageOf(decide('other-1'))).toContain('No open hold other-1; open holds: echo-1');
      expect(await messageOf(decide('echo-1', 'maybe'))).toContain('takes retry');
      await decide('echo-1');
      await expect.poll(() => engine.holds.has('echo-1-2')).toBe(true);
      expect(await messageOf(decide('echo-1'))).toContain('already decided by ann at');
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'retry' });
      await handle.result();
    });
  });

  test('ends as cancelled when its chain is cancelled', async () => {
    const refuse = () => {
      throw refused();
    };
    await withRecordedEngine(environment, bundle, refuse, async (engine) => {
      const handle = await start(engine, 'inSequence', ['a']);
      await expect.poll(() => engine.holds.has('echo-1')).toBe(true);
      await handle.cancel();
      await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
      expect(engine.closed).toMatchObject([{ state: 'cancelled' }]);
    });
  });

  test('for which no worker has the step is held, not failed', async () => {
    await withRecordedEngine(environment, bundle, echo, async (engine) => {
      engine.plan = () =>
        engine.holds.size === 0 ? { kind: 'hold', reason: 'unsupported_step', message: 'no such step' } : undefined;
      const handle = await start(engine, 'inSequence', ['a']);
      await expect.poll(() => engine.holds.get('echo-1')?.reason).toBe('unsupported_step');
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'retry' });
      expect(await handle.result()).toEqual(['echo 1: a']);
    });
  });
});

describe('a cancelled chain', () => {
  test('can still clean up with steps, and is recorded as cancelled afterwards', async () => {
    const slowWork = (call: StepCall) => {
      if (call.step === 'echo') throw ApplicationFailure.retryable('not yet');
      return echo(call);
    };
    await withRecordedEngine(environment, bundle, slowWork, async (engine) => {
      const handle = await start(engine, 'withCleanUp');
      await expect.poll(() => engine.calls.length).toBeGreaterThan(0);
      await handle.cancel();
      await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
      expect(engine.calls.at(-1)).toMatchObject({ step: 'other' });
      expect(engine.closed).toMatchObject([{ state: 'cancelled' }]);
    });
  });
});
