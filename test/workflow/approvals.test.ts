import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type WorkflowHandle, type WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Approval, ApprovalRequest } from '../../src/contracts/approvals.js';
import type { HoldOutcome } from '../../src/contracts/holds.js';
import { DECIDE_HOLD_SIGNAL, DECIDE_HOLD_UPDATE } from '../../src/contracts/messages.js';
import {
  bundleTestChains,
  createTimeSkippingEnvironment,
  type RecordedEngine,
  withRecordedEngine,
} from '../support/chain-environment.js';

// The sandbox alone: the engine's activities are kept in memory. With the store: reviewed-report.test.ts.

let environment: TestWorkflowEnvironment;
let bundle: WorkflowBundle;

beforeAll(async () => {
  [environment, bundle] = await Promise.all([createTimeSkippingEnvironment(), bundleTestChains()]);
});
afterAll(() => environment?.teardown());

const noCalls = () => {
  throw ApplicationFailure.nonRetryable('There is no step.');
};
const run = <Result>(play: (engine: RecordedEngine) => Promise<Result>): Promise<Result> =>
  withRecordedEngine(environment, bundle, noCalls, play);

const draft = { category: 'draft', proposal: { text: 'Dear Sir' } };
const DAY_MS = 24 * 3_600_000;

function start(engine: RecordedEngine, workflow: string, argument: unknown): Promise<WorkflowHandle> {
  const options = { taskQueue: engine.taskQueue, workflowId: randomUUID(), args: [argument] };
  return environment.client.workflow.start(workflow, options);
}

/** Starts a chain that asks for approval, and waits until it is held; gives it with the ids of its holds. */
async function held(engine: RecordedEngine, request: object = {}): Promise<[WorkflowHandle, string]> {
  const handle = await start(engine, 'oneApproval', { ...draft, ...request });
  await expect.poll(() => engine.holds.size).toBe(1);
  return [handle, [...engine.holds.keys()][0] as string];
}

/** The result, without unlocking the skipping of time. */
async function resultOf(handle: WorkflowHandle): Promise<Approval<unknown>> {
  await expect.poll(async () => (await handle.describe()).status.name).not.toBe('RUNNING');
  return handle.result();
}

const update = (handle: WorkflowHandle, decision: object): Promise<HoldOutcome> =>
  handle.executeUpdate(DECIDE_HOLD_UPDATE, { args: [decision] });

const refusalOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'accepted',
    (error: unknown) => (error as WorkflowUpdateFailedError).cause?.message ?? String(error),
  );

describe('an approval', () => {
  test('shows what is proposed, under an id that is made of its category and content', async () => {
    await run(async (engine) => {
      const [handle, holdId] = await held(engine, { deadlineMs: DAY_MS, onTimeout: 'approve' });
      expect(holdId).toMatch(/^draft-[0-9a-f]{8}$/);
      const now = await environment.currentTimeMs();
      const request = engine.holds.get(holdId);
      expect(request).toMatchObject({
        kind: 'approval',
        reason: 'approval_required',
        step: 'draft',
        call: 1,
        proposal: draft.proposal,
        onTimeout: 'approve',
      });
      expect(Math.abs(Date.parse(request?.deadline ?? '') - now - DAY_MS)).toBeLessThan(60_000);
      await handle.cancel();
      await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
      expect(engine.closed).toMatchObject([{ state: 'cancelled' }]);
    });
  });

  test('is given, with the proposal as it was', async () => {
    await run(async (engine) => {
      const [handle, holdId] = await held(engine);
      const outcome = await update(handle, { holdId, verdict: 'approve', by: 'ann', note: 'fine' });
      expect(outcome).toMatchObject({ accepted: true, decision: { by: 'ann' } });
      expect(await resultOf(handle)).toMatchObject({
        approved: true,
        edited: false,
        value: draft.proposal,
        by: 'ann',
        note: 'fine',
        timedOut: false,
      });
      expect(engine.closed).toMatchObject([{ state: 'completed' }]);
    });
  });

  test('is given to what an editor made of the proposal, also when that is null', async () => {
    for (const edit of [{ text: 'Dear Madam' }, null]) {
      await run(async (engine) => {
        const [handle, holdId] = await held(engine);
        await update(handle, { holdId, verdict: 'approve', by: 'ann', edit });
        expect(await resultOf(handle)).toMatchObject({ approved: true, edited: true, value: edit });
      });
    }
  });

  test('is refused, with the reason', async () => {
    await run(async (engine) => {
      const [handle, holdId] = await held(engine);
      await update(handle, { holdId, verdict: 'reject', by: 'ann', note: 'too long' });
      expect(await resultOf(handle)).toMatchObject({ approved: false, by: 'ann', note: 'too long', timedOut: false });
    });
  });

  test.each(['approve', 'reject', undefined] as const)('is decided by its deadline: %s', async (onTimeout) => {
    await run(async (engine) => {
      const [handle] = await held(engine, { deadlineMs: 7 * DAY_MS, onTimeout });
      await environment.sleep(6 * DAY_MS);
      expect((await handle.describe()).status.name).toBe('RUNNING');
      await environment.sleep(2 * DAY_MS);
      const approved = onTimeout === 'approve';
      expect(await resultOf(handle)).toMatchObject({ approved, by: 'deadline', timedOut: true });
    });
  });

  test('is what a person said in time, when the store knew of it before the deadline did', async () => {
    await run(async (engine) => {
      const [handle, holdId] = await held(engine, { deadlineMs: DAY_MS });
      const decision = { verdict: 'approve', by: 'ann' } as const;
      await engine.holdfastDecideHold({ chain: 'c', firstRunId: 'r', holdId, decision, decisionId: 'ann' });
      await environment.sleep(2 * DAY_MS);
      expect(await resultOf(handle)).toMatchObject({ approved: true, by: 'ann', timedOut: false });
    });
  });

  test('that stood in the store before is not asked for again', async () => {
    await run(async (engine) => {
      const [first, holdId] = await held(engine);
      await update(first, { holdId, verdict: 'approve', by: 'ann' });
      await resultOf(first);
      const second = await start(engine, 'oneApproval', draft);
      expect(await resultOf(second)).toMatchObject({ approved: true, by: 'ann' });
    });
  });

  test.each([
    ['a category with blanks', { category: 'a b' }, /category has up to 64 letters/],
    ['a deadline that is no number', { deadlineMs: 'soon' }, /deadlineMs is a whole number/],
    ['a deadline that has passed', { deadlineMs: 0 }, /deadlineMs is a whole number/],
    ['a deadline beyond all calendars', { deadlineMs: 1e15 }, /up to ten years/],
    ['a third way out', { onTimeout: 'maybe' }, /onTimeout is approve or reject, not "maybe"/],
  ])('with %s fails its chain and says why', async (_what, request, says) => {
    await run(async (engine) => {
      const handle = await start(engine, 'oneApproval', { ...draft, ...request });
      const failure = await handle.result().catch((error: WorkflowFailedError) => error.cause);
      expect(failure).toMatchObject({ type: 'BadApproval', message: expect.stringMatching(says) });
      expect(engine.holds.size).toBe(0);
    });
  });
});

describe('several open approvals', () => {
  const requests: ApprovalRequest<unknown>[] = [draft, { ...draft, proposal: 'another' }, draft];

  test('have ids of their own, identical ones too, and are decided one by one', async () => {
    await run(async (engine) => {
      const handle = await start(engine, 'approvals', requests);
      await expect.poll(() => engine.holds.size).toBe(3);
      const ids = [...engine.holds.keys()].sort();
      const twin = ids.find((id) => /-2$/.test(id)) as string;
      expect(ids).toContain(twin.replace(/-2$/, ''));
      await update(handle, { holdId: twin, verdict: 'reject', by: 'ann' });
      for (const holdId of ids.filter((id) => id !== twin)) {
        await handle.signal(DECIDE_HOLD_SIGNAL, { holdId, verdict: 'approve', by: 'bob' });
      }
      expect(await resultOf(handle)).toMatchObject([
        { approved: true, by: 'bob' },
        { approved: true, by: 'bob' },
        { approved: false, by: 'ann' },
      ]);
    });
  });

  test('are not meant by a signal that names none of them', async () => {
    await run(async (engine) => {
      const handle = await start(engine, 'approvals', requests.slice(0, 2));
      await expect.poll(() => engine.holds.size).toBe(2);
      const [first, second] = [...engine.holds.keys()];
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'approve' });
      await update(handle, { holdId: first, verdict: 'reject', by: 'ann' });
      // Now there is but one that it can mean.
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'approve' });
      await resultOf(handle);
      expect([first, second].map((id) => engine.holds.get(id as string)?.decision?.by)).toEqual(['ann', 'a signal']);
    });
  });
});

describe('a signal', () => {
  test('as people send it decides the one approval that is open', async () => {
    await run(async (engine) => {
      const [handle] = await held(engine);
      await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'approve', edit: { text: 'Hello' }, note: 'warmer' });
      expect(await resultOf(handle)).toMatchObject({ value: { text: 'Hello' }, by: 'a signal', note: 'warmer' });
    });
  });

  test('that makes no sense changes nothing', async () => {
    await run(async (engine) => {
      const [handle, holdId] = await held(engine);
      const senseless = [
        undefined,
        'approve',
        { verdict: 'retry' },
        { holdId, verdict: 'retry' },
        { holdId: 7, verdict: 'approve' },
        { holdId: 'draft-00000000', verdict: 'approve' },
        { holdId, verdict: 'approve', by: 'deadline' },
        { holdId, verdict: 'approve', note: 7 },
        { holdId, verdict: 'reject', edit: {} },
      ];
      for (const input of senseless) await handle.signal(DECIDE_HOLD_SIGNAL, input);
      expect(await update(handle, { holdId, verdict: 'approve', by: 'ann' })).toMatchObject({ accepted: true });
      expect(await resultOf(handle)).toMatchObject({ approved: true, edited: false, by: 'ann' });
    });
  });
});

describe('an update', () => {
  const flaws = [
    [{ verdict: 'retry' }, /is an approval and takes approve or reject, not "retry"/],
    [{ verdict: 'approve', by: '' }, /says who decided/],
    [{ verdict: 'approve', by: 'deadline' }, /decide under another name/],
    [{ verdict: 'approve', note: 7 }, /note of a decision is a text/],
    [{ verdict: 'reject', edit: {} }, /edit goes with approve/],
    [{ verdict: 'approve', holdId: 7 }, /needs { holdId, verdict, by }/],
    [{ verdict: 'approve', holdId: 'draft-00000000' }, /No open hold draft-00000000; open holds: draft-/],
  ] as const;

  test('is refused with what is wrong with it, and the hold stays open', async () => {
    await run(async (engine) => {
      const [handle, holdId] = await held(engine);
      for (const [flaw, says] of flaws) {
        expect(await refusalOf(update(handle, { holdId, by: 'ann', ...flaw }))).toMatch(says);
      }
      engine.beforeDecision = async ({ edit }) => {
        if (edit !== undefined) throw ApplicationFailure.nonRetryable('The edit does not fit.', 'BadEdit');
      };
      const unfit = update(handle, { holdId, verdict: 'approve', by: 'ann', edit: 7 });
      expect(await refusalOf(unfit)).toBe('The edit does not fit.');
      await update(handle, { holdId, verdict: 'reject', by: 'bob' });
      expect(await resultOf(handle)).toMatchObject({ approved: false, by: 'bob' });
    });
  });

  test('that comes second is told who was first, before and after the chain has gone on', async () => {
    await run(async (engine) => {
      const handle = await start(engine, 'approvals', [draft, { ...draft, proposal: 'another' }]);
      await expect.poll(() => engine.holds.size).toBe(2);
      const [holdId, other] = [...engine.holds.keys()];
      const outcomes = await Promise.all(
        ['ann', 'bob'].map((by) => refusalOf(update(handle, { holdId, verdict: 'approve', by }))),
      );
      const winner = engine.holds.get(holdId as string)?.decision?.by as string;
      // At the same moment both may be accepted by the chain: then the answer says who won.
      expect(outcomes).toContain('accepted');
      const late = await refusalOf(update(handle, { holdId, verdict: 'reject', by: 'eve' }));
      expect(late).toMatch(new RegExp(`already decided by ${winner} at .*: approve`));
      await update(handle, { holdId: other, verdict: 'reject', by: 'ann' });
      await resultOf(handle);
    });
  });

  test('whose answer was lost is given it once more, as the winner that it is', async () => {
    await run(async (engine) => {
      const [handle, holdId] = await held(engine);
      let lost = 0;
      engine.afterDecision = async () => {
        lost += 1;
        if (lost === 1) throw new Error('the connection broke');
      };
      const outcome = await update(handle, { holdId, verdict: 'approve', by: 'ann' });
      expect([outcome.accepted, lost]).toEqual([true, 2]);
      await resultOf(handle);
    });
  });
});
