import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { z } from 'zod';
import { defineChain, defineStep } from '../../src/agents/define.js';
import { DEFAULT_LANE_POLICIES } from '../../src/contracts/lanes.js';
import type { PauseSelector } from '../../src/contracts/pauses.js';
import type { StepStatus } from '../../src/contracts/status.js';
import type { Store } from '../../src/store/database.js';
import { parkCall } from '../../src/store/parked.js';
import { deletePause, haveEndedBefore, insertPause, numberNow, pauseOver } from '../../src/store/pauses.js';
import { ChainTestEnvironment } from '../../src/testing.js';

const chain = <Input>(input: z.ZodType<Input>) => defineChain({ input, steps: ['echo', 'other'] });

const app = {
  chains: { inSequence: chain(z.array(z.string())), forked: chain(z.array(z.string())) },
  steps: {
    echo: defineStep({ model: 'claude-haiku-5-5', prompt: ({ text }: { text: string }) => `Echo: ${text}` }),
    other: defineStep({
      model: 'claude-sonnet-5-5',
      lane: 'heavy',
      prompt: ({ text }: { text: string }) => `Other: ${text}`,
    }),
  },
  workflowsPath: fileURLToPath(new URL('../support/chains.ts', import.meta.url)),
};

/** An answer that comes when the test says so. */
function held(): { readonly answer: Promise<string>; readonly give: (answer: string) => void } {
  let give = (_answer: string): void => {};
  const answer = new Promise<string>((resolve) => {
    give = resolve;
  });
  return { answer, give };
}

let temporary: string;
let environment: ChainTestEnvironment<typeof app>;
let store: Store;
beforeAll(async () => {
  temporary = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  chmodSync(temporary, 0o755);
  vi.stubEnv('TMPDIR', temporary);
  const { fast, heavy } = DEFAULT_LANE_POLICIES;
  const config = { lanes: { fast: { ...fast, concurrency: 1 }, heavy } };
  environment = await ChainTestEnvironment.start({
    app,
    temporal: 'dev',
    databaseUrl: inject('postgresUrl'),
    config,
  });
  // The environment makes a database of its own and tells nobody where.
  store = (Reflect.get(environment.client, 'options') as { readonly store: Store }).store;
});
afterEach(async () => {
  for (const { kind, value } of await environment.client.pauses()) {
    await environment.client.resume(value === null ? {} : { [kind]: value });
  }
});
afterAll(async () => {
  await environment?.stop();
  vi.unstubAllEnvs();
  rmSync(temporary, { recursive: true, force: true });
});

const anna = { by: 'anna', reason: 'incident 12' };

const submit = async (chainName: 'inSequence' | 'forked', input: string[], tenant: string): Promise<string> =>
  (await environment.client.submit({ chain: chainName, input, tenant })).id;

/** The steps of a chain that are parked, once there are any. */
async function untilParked(id: string): Promise<readonly StepStatus[]> {
  const parked = async () => (await environment.client.status(id)).steps.filter(({ state }) => state === 'parked');
  await expect.poll(async () => (await parked()).length, { timeout: 30_000 }).toBeGreaterThan(0);
  return parked();
}

const parkedRows = (id: string) => store.db.selectFrom('parked').selectAll().where('chain_id', '=', id).execute();

type Attributes = 'workflowExecutionSignaledEventAttributes' | 'markerRecordedEventAttributes';

/** How many events of a kind the history of a chain has in the end. Its row says so before the last ones are written. */
async function count(id: string, attributes: Attributes): Promise<number> {
  const events = async () => (await environment.client.history(id)).events ?? [];
  await expect
    .poll(async () => (await events()).at(-1)?.workflowExecutionCompletedEventAttributes, { timeout: 30_000 })
    .toBeTruthy();
  return (await events()).filter((event) => event[attributes]).length;
}

describe('a pause', () => {
  test('parks what it is of and nothing else, without a call, until it ends; each costs the same history', async () => {
    const model = environment.script({ echo: ({ prompt }) => prompt, other: 'base' });
    const seed = await environment.run('forked', ['x'], { tenant: 'paused' });
    const plans = await count(seed.id, 'markerRecordedEventAttributes');
    const selectors: readonly PauseSelector[] = [
      { tenant: 'paused' },
      { chain: 'forked' },
      { lane: 'heavy' },
      { model: 'claude-sonnet-5-5' },
    ];
    for (const [index, selector] of selectors.entries()) {
      const calls = model.calls.length;
      await environment.client.pause(selector, anna);
      const id = await submit('forked', [`text ${index}`], 'paused');
      const [step] = await untilParked(id);
      expect(step).toMatchObject({ name: 'other', attempts: 0 });
      expect(step?.waitsFor).toMatch(/^paused by anna since .*: incident 12$/);
      expect(await environment.run('inSequence', [`free ${index}`], { tenant: 'free' })).toMatchObject({
        state: 'completed',
      });
      expect(model.calls).toHaveLength(calls + 1);
      expect(await environment.client.pauses()).toMatchObject([{ by: 'anna', parkedChains: 1, openCalls: 0 }]);
      expect(await environment.client.resume(selector)).toMatchObject({ woken: 1 });
      expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: [`Echo: text ${index}`] });
      expect(await parkedRows(id)).toEqual([]);
      // One signal, and one plan more than without a pause.
      expect(await count(id, 'workflowExecutionSignaledEventAttributes')).toBe(1);
      expect(await count(id, 'markerRecordedEventAttributes')).toBe(plans + 1);
    }
  });

  test('of everything and of one chain by its id lets another pause hold what it has let go', async () => {
    environment.script({ echo: ({ prompt }) => prompt });
    await environment.client.pause({}, { by: 'bob' });
    const id = await submit('inSequence', ['twice'], 'acme');
    const [first] = await untilParked(id);
    expect(first?.waitsFor).toMatch(/^paused by bob since [^:]*:[^:]*:[^:]*$/);
    await environment.client.pause({ chain: id }, anna);
    await environment.client.resume({});
    await expect
      .poll(async () => (await environment.client.status(id)).steps[0]?.waitsFor, { timeout: 30_000 })
      .toContain('incident 12');
    expect(await environment.client.pauses()).toMatchObject([{ kind: 'chain', value: id, parkedChains: 1 }]);
    await environment.client.resume({ chain: id });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
  });

  test('lets open calls end, gives back those that stood in the queue, and is drained then', async () => {
    const open = held();
    const model = environment.script({ echo: [() => open.answer, 'second', 'last'] });
    const first = await submit('inSequence', ['a', 'b'], 'drained');
    await model.waitForCall({ prompt: 'Echo: a' });
    const events: string[] = [];
    // One call at a time: this one stands in Temporal's queue.
    const queued = await submit('inSequence', ['queued'], 'drained');
    await expect
      .poll(async () => (await environment.client.status(queued)).steps, { timeout: 30_000 })
      .toMatchObject([{ state: 'queued' }]);
    await environment.client.pause({ tenant: 'drained' }, anna);
    const drained = environment.client
      .drain({ tenant: 'drained' }, { onProgress: (calls) => events.push(`open ${calls}`) })
      .then(() => events.push('drained'));
    await expect.poll(() => events, { timeout: 30_000 }).toEqual(['open 1']);
    open.give('first');
    await drained;
    expect(events).toEqual(['open 1', 'open 0', 'drained']);
    expect((await environment.client.status(first)).steps[0]).toMatchObject({ state: 'completed', attempts: 1 });
    for (const id of [first, queued]) expect(await untilParked(id)).toHaveLength(1);
    expect(await environment.client.pauses()).toMatchObject([{ parkedChains: 2, openCalls: 0 }]);
    expect(model.calls).toHaveLength(1);
    await environment.client.resume({ tenant: 'drained' });
    expect(await environment.wait(first)).toMatchObject({ state: 'completed' });
    expect(await environment.wait(queued)).toMatchObject({ state: 'completed' });
    expect(model.calls).toHaveLength(3);
    model.verify();
  });

  test('is not drained by its own end', async () => {
    const open = held();
    const model = environment.script({ echo: () => open.answer });
    const id = await submit('inSequence', ['a'], 'ended');
    await model.waitForCall();
    await environment.client.pause({ tenant: 'ended' }, anna);
    const drained = environment.client.drain({ tenant: 'ended' });
    drained.catch(() => {});
    await environment.client.resume({ tenant: 'ended' });
    await expect(drained).rejects.toMatchObject({ code: 'NOT_PAUSED' });
    open.give('done');
    expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
  });

  test('that ends without a word to its chains is told to them by the sweeper', async () => {
    environment.script({ echo: 'done' });
    await environment.client.pause({ chain: 'inSequence' }, anna);
    const id = await submit('inSequence', ['a'], 'acme');
    await untilParked(id);
    await deletePause(store, { kind: 'chain', value: 'inSequence' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
    expect(await parkedRows(id)).toEqual([]);
  });

  test('keeps no row of a chain that has ended meanwhile', async () => {
    environment.script({ echo: 'done' });
    await environment.client.pause({ chain: 'inSequence' }, anna);
    const id = await submit('inSequence', ['a'], 'acme');
    await untilParked(id);
    expect(await environment.client.cancel(id)).toMatchObject({ state: 'cancelled' });
    expect(await parkedRows(id)).toEqual([]);
    expect((await environment.client.status(id)).steps.filter(({ state }) => state === 'parked')).toEqual([]);
  });

  test('is written once, whoever orders it again', async () => {
    expect(await environment.client.pause({ lane: 'fast' }, anna)).toMatchObject({ isNew: true });
    expect(await environment.client.pause({ lane: 'fast' }, { by: 'bob' })).toMatchObject({
      isNew: false,
      pause: { by: 'anna', reason: 'incident 12' },
    });
  });

  test.each<[PauseSelector, string, RegExp]>([
    [{ tenant: 'nobody' }, 'INVALID_INPUT', /No chain has the tenant "nobody"/],
    [{ chain: 'nothing' }, 'CHAIN_NOT_FOUND', /neither by this id nor of this type/],
    [{ lane: 'slow' }, 'INVALID_INPUT', /no lane "slow"/],
    [{ model: 'gpt' }, 'INVALID_INPUT', /No step uses the model "gpt"/],
    [{ lane: 'fast', tenant: 'acme' }, 'INVALID_INPUT', /one thing/],
  ])('of %j is refused', async (selector, code, message) => {
    await expect(environment.client.pause(selector, anna)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(await environment.client.pauses()).toEqual([]);
  });

  test('that is not there cannot end', async () => {
    await expect(environment.client.resume({ tenant: 'nobody' })).rejects.toMatchObject({ code: 'NOT_PAUSED' });
    await expect(environment.client.drain({})).rejects.toMatchObject({ code: 'NOT_PAUSED' });
  });
});

describe('between the look at a pause and the parked row', () => {
  test('the pause cannot end unseen', async () => {
    environment.script({ echo: 'done' });
    const { id } = await environment.run('inSequence', ['race']);
    // Open again, as after a reset.
    await store.db.updateTable('chain').set({ closed_at: null }).where('id', '=', id).execute();
    await insertPause(store, { kind: 'all', value: '' }, { by: 'anna', reason: null });
    const order: string[] = [];
    let ended: Promise<unknown> = Promise.resolve();
    await store.db.transaction().execute(async (trx) => {
      const cause = await pauseOver(trx, id, { lane: 'fast', model: 'm' });
      if (cause === undefined) throw new Error('not paused');
      ended = deletePause(store, { kind: 'all', value: '' }).then(() => order.push('ended'));
      await parkCall(trx, { chainId: id, firstRunId: 'r', step: 's', call: 1 }, cause);
      order.push('parked');
    });
    await ended;
    expect(order).toEqual(['parked', 'ended']);
    expect(await parkedRows(id)).toMatchObject([{ cause_kind: 'pause', due_at: expect.any(Date) }]);
    await store.db.updateTable('chain').set({ closed_at: new Date() }).where('id', '=', id).execute();
    await store.db.deleteFrom('parked').where('chain_id', '=', id).execute();
  });

  test('a transaction that is open is known to be', async () => {
    const next = await store.db.transaction().execute(async (trx) => {
      await trx.updateTable('parked').set({ wakes: 0 }).execute();
      await trx.insertInto('tenant_weight').values({ tenant: 'none', weight: 1 }).execute();
      await trx.deleteFrom('tenant_weight').execute();
      const inside = await numberNow(store);
      expect(await haveEndedBefore(store, inside)).toBe(false);
      return inside;
    });
    await expect.poll(() => haveEndedBefore(store, next)).toBe(true);
  });
});
