import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PARKED, STEP_FAILURE } from '../../src/contracts/activities.js';
import { DECIDE_HOLD_SIGNAL, WAKE_SIGNAL } from '../../src/contracts/messages.js';
import { bundleTestChains, createTimeSkippingEnvironment, withRecordedEngine } from '../support/chain-environment.js';

let environment: TestWorkflowEnvironment;
let bundle: WorkflowBundle;
beforeAll(async () => {
  [environment, bundle] = await Promise.all([createTimeSkippingEnvironment(), bundleTestChains()]);
});
afterAll(() => environment?.teardown());

const refused = () =>
  ApplicationFailure.create({
    type: STEP_FAILURE,
    nonRetryable: true,
    message: 'refusal',
    details: [{ reason: 'refusal', message: 'I would rather not.' }],
  });

interface Upsert {
  readonly [name: string]: string;
}

/** The values of search attributes that a workflow has set, in their order. */
async function upserts(workflowId: string): Promise<Upsert[]> {
  const { events } = await environment.client.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).flatMap((event) => {
    const fields = event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields;
    const named = Object.entries(fields ?? {}).filter(([name]) => /^Holdfast(State|Tenant)$/.test(name));
    if (named.length === 0) return [];
    return [
      Object.fromEntries(named.map(([name, { data }]) => [name, JSON.parse(Buffer.from(data ?? []).toString())])),
    ];
  });
}

test('a chain that was started without intake shows its tenant once, and how it ended', async () => {
  const answer = () => ({ output: 'yes', conversation: 'turn' });
  await withRecordedEngine(environment, bundle, answer, async (engine) => {
    engine.tenant = 'acme';
    const workflowId = randomUUID();
    const start = { taskQueue: engine.taskQueue, workflowId, args: [['a', 'b']] };
    await environment.client.workflow.execute('inSequence', start);
    expect(await upserts(workflowId)).toEqual([
      { HoldfastState: 'running', HoldfastTenant: 'acme' },
      { HoldfastState: 'completed' },
    ]);
  });
});

test('the details of an open chain say what it does, what is done, and how its holds are decided', async () => {
  let refuse = true;
  const script = ({ step }: { step: string }) => {
    if (step === 'echo' && refuse) throw refused();
    return { output: 'yes', conversation: 'turn' };
  };
  await withRecordedEngine(environment, bundle, script, async (engine) => {
    const workflowId = randomUUID();
    const start = { taskQueue: engine.taskQueue, workflowId, args: [['a']] };
    const handle = await environment.client.workflow.start('forked', start);
    await expect.poll(() => engine.holds.has('echo-1'), { timeout: 30_000 }).toBe(true);
    const details = async () =>
      ((await handle.query('__temporal_workflow_metadata')) as { currentDetails?: string }).currentDetails ?? '';
    await expect.poll(details, { timeout: 30_000 }).toContain('**Held at echo** (echo-1, refusal)');
    expect(await details()).toBe(
      [
        '**Now:** waits for a decision',
        '**Steps done in this run:** other',
        `**Held at echo** (echo-1, refusal): I would rather not.\n\n- \`holdfast dead-letters retry ${workflowId} --hold echo-1\`\n- \`holdfast dead-letters resolve ${workflowId} --hold echo-1 --result FILE --reason TEXT\`\n- \`holdfast dead-letters cancel ${workflowId} --hold echo-1 --reason TEXT\`\n` +
          '- or the signal `holdfast_decide` with `{"holdId":"echo-1","verdict":"retry","by":"your name"}`',
        `Attempts and cost: \`holdfast status ${workflowId}\``,
      ].join('\n\n'),
    );
    refuse = false;
    await handle.signal(DECIDE_HOLD_SIGNAL, { verdict: 'retry' });
    await handle.result();
    expect(await details()).toContain('**Now:** no step is open\n\n**Steps done in this run:** other, echo\n\n');
  });
});

test('the details of a chain whose call is parked say what it waits for, until it goes on', async () => {
  const answer = () => ({ output: 'yes', conversation: 'turn' });
  await withRecordedEngine(environment, bundle, answer, async (engine) => {
    let paused = true;
    engine.plan = () => (paused ? { kind: 'parked', cause: 'paused by anna' } : undefined);
    const workflowId = randomUUID();
    const start = { taskQueue: engine.taskQueue, workflowId, args: [['a']] };
    const handle = await environment.client.workflow.start('inSequence', start);
    const details = async () =>
      ((await handle.query('__temporal_workflow_metadata')) as { currentDetails?: string }).currentDetails ?? '';
    await expect.poll(details, { timeout: 30_000 }).toContain('**Parked:** echo 1, paused by anna');
    expect(await details()).toContain('**Now:** is parked');
    paused = false;
    await handle.signal(WAKE_SIGNAL);
    expect(await handle.result()).toEqual(['yes']);
    expect(await details()).not.toContain('Parked');
    expect(engine.calls).toHaveLength(1);
  });
});

test('a wake that comes for nothing leaves a parked call where it is', async () => {
  const answer = () => ({ output: 'yes', conversation: 'turn' });
  await withRecordedEngine(environment, bundle, answer, async (engine) => {
    let plans = 0;
    engine.plan = () => {
      plans += 1;
      return plans < 3 ? { kind: 'parked', cause: `cause ${plans}` } : undefined;
    };
    const start = { taskQueue: engine.taskQueue, workflowId: randomUUID(), args: [['a']] };
    const handle = await environment.client.workflow.start('inSequence', start);
    await expect.poll(() => plans, { timeout: 30_000 }).toBe(1);
    await handle.signal(WAKE_SIGNAL);
    await expect.poll(() => plans, { timeout: 30_000 }).toBe(2);
    expect(engine.calls).toHaveLength(0);
    await handle.signal(WAKE_SIGNAL);
    expect(await handle.result()).toEqual(['yes']);
  });
});

test('a call that its activity gives back is parked, spends no round, and is made when the cause is over', async () => {
  let paused = true;
  const script = () => {
    if (paused) throw ApplicationFailure.nonRetryable('paused by anna', PARKED);
    return { output: 'yes', conversation: 'turn' };
  };
  await withRecordedEngine(environment, bundle, script, async (engine) => {
    const start = { taskQueue: engine.taskQueue, workflowId: randomUUID(), args: [['a']] };
    const handle = await environment.client.workflow.start('inSequence', start);
    await expect.poll(() => engine.calls.length, { timeout: 30_000 }).toBe(1);
    paused = false;
    await handle.signal(WAKE_SIGNAL);
    expect(await handle.result()).toEqual(['yes']);
    expect(engine.calls.map(({ round }) => round)).toEqual([0, 0]);
    expect(engine.holds.size).toBe(0);
  });
});
