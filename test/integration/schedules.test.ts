import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { z } from 'zod';
import { defineChain, defineStep } from '../../src/agents/define.js';
import type { NewSchedule } from '../../src/client/schedules.js';
import { replayHistories } from '../../src/replay/replay-histories.js';
import { ChainTestEnvironment } from '../../src/testing.js';

const app = {
  chains: {
    inSequence: defineChain({
      input: z.array(z.string()),
      title: (texts: string[]) => `Says ${texts.join()}`,
      steps: ['echo'],
    }),
  },
  steps: { echo: defineStep({ model: 'claude-haiku-5-5', prompt: ({ text }: { text: string }) => `Echo: ${text}` }) },
  workflowsPath: fileURLToPath(new URL('../support/chains.ts', import.meta.url)),
};

let environment: ChainTestEnvironment<typeof app>;
beforeAll(async () => {
  environment = await ChainTestEnvironment.start({ app, temporal: 'dev', databaseUrl: inject('postgresUrl') });
});
afterAll(() => environment?.stop());
afterEach(async () => {
  for (const name of made.splice(0))
    await schedules()
      .delete(name)
      .catch(() => {});
});

async function* one<Item>(item: Item): AsyncGenerator<Item> {
  yield item;
}

const made: string[] = [];
const schedules = () => environment.client.schedules;
const RARELY = { cron: '0 0 1 1 *' };

function create(name: string, more: Partial<NewSchedule> = {}) {
  made.push(name);
  return schedules().create({ name, chain: 'inSequence', input: ['a'], ...(more.every ? {} : RARELY), ...more });
}

const chainsOf = async (tenant: string) => environment.client.list({ tenant });

describe('a schedule', () => {
  test('starts a chain at each of its times, each with a key, a row and a receipt of its own', async () => {
    environment.script({ echo: ({ prompt }) => prompt });
    await create('often', { every: '1s', tenant: 'often', priority: 'low' });
    await expect.poll(async () => (await chainsOf('often')).length, { timeout: 20_000 }).toBeGreaterThan(2);
    await schedules().delete('often');
    const chains = await chainsOf('often');
    for (const { id } of chains) {
      expect(await environment.wait(id)).toMatchObject({ state: 'completed', priority: 'low', output: ['Echo: a'] });
    }
    expect(chains[0]).toMatchObject({ chain: 'inSequence', title: 'Says a' });
    const times = chains.map(({ key, createdAt }) => {
      expect(key).toBe(`schedule often ${createdAt}`);
      return Date.parse(createdAt);
    });
    // What such a chain does before its function begins is replayed like the rest.
    const history = await environment.client.history(chains[0]?.id as string);
    const replays = replayHistories(app.workflowsPath, one({ name: 'scheduled', history }));
    for await (const replayed of replays) expect(replayed).toMatchObject({ chain: 'inSequence', difference: null });
    // Every second, on the second.
    expect(times.map((time) => time % 1_000)).toEqual(times.map(() => 0));
    expect(new Set(times).size).toBe(chains.length);
  });

  test('is described, listed, fired by hand, paused and resumed, and its chains go on when it is deleted', async () => {
    environment.script({ echo: ({ prompt }) => prompt });
    const zoned = { cron: '30 8 * * MON-FRI', timeZone: 'Europe/Berlin' };
    const status = await create('report', { ...zoned, tenant: 'described' });
    expect(status).toMatchObject({
      name: 'report',
      chain: 'inSequence',
      tenant: 'described',
      priority: 'normal',
      ...zoned,
      input: ['a'],
      paused: false,
      fired: 0,
      missed: 0,
      recent: [],
    });
    const hours = new Intl.DateTimeFormat('en-GB', { timeStyle: 'short', timeZone: 'Europe/Berlin' });
    expect(status.next.map((time) => hours.format(new Date(time)))).toEqual(Array(5).fill('08:30'));
    await expect.poll(async () => (await schedules().list()).map(({ name }) => name)).toEqual(['report']);
    expect(await schedules().pause('report', 'a holiday')).toMatchObject({ paused: true, note: 'a holiday' });
    await schedules().trigger('report');
    await expect.poll(async () => (await schedules().describe('report')).fired).toBe(1);
    const { recent } = await schedules().resume('report');
    expect(await schedules().describe('report')).toMatchObject({ paused: false, note: 'Resumed.' });
    await schedules().delete('report');
    const [fired] = recent;
    expect(await environment.wait(fired?.id as string)).toMatchObject({ state: 'completed', tenant: 'described' });
  });

  test('keeps its chains apart from each other and from those that are submitted, though their input is the same', async () => {
    environment.script({ echo: ({ prompt }) => prompt });
    await create('apart', { tenant: 'apart' });
    const submitted = await environment.client.submit({ chain: 'inSequence', input: ['a'], tenant: 'apart' });
    await schedules().trigger('apart');
    await expect.poll(async () => (await chainsOf('apart')).length).toBe(2);
    const ids = (await chainsOf('apart')).map(({ id }) => id);
    expect(ids).toContain(submitted.id);
    for (const id of ids) await environment.wait(id);
    await expect.poll(() => environment.client.reconcile()).toEqual([]);
  });

  test('holds its input itself, whatever its size, and goes with its tenant', async () => {
    const input = ['x'.repeat(900_000)];
    expect((await create('large', { input, tenant: 'large' })).input).toEqual(input);
    await expect.poll(async () => (await schedules().list()).map(({ name }) => name)).toContain('large');
    await environment.client.erase({ tenant: 'large' });
    await expect(schedules().describe('large')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
    await expect(create('larger', { input: ['x'.repeat(1_000_001)] })).rejects.toMatchObject({
      code: 'INPUT_TOO_LARGE',
    });
  });
});

test.each<[string, Partial<NewSchedule>, string, RegExp]>([
  ['that never fires', { cron: '0 0 31 2 *' }, 'INVALID_INPUT', /never fire/],
  ['whose times have passed', { every: '1h', until: '2020-01-01T00:00:00Z' }, 'INVALID_INPUT', /never fire/],
  [
    'that ends before it begins',
    { from: '2027-02-01T00:00:00Z', until: '2027-01-01T00:00:00Z' },
    'INVALID_INPUT',
    /before it begins/,
  ],
  ['without times', { cron: undefined }, 'INVALID_INPUT', /either cron or every/],
  ['with two sorts of times', { every: '1h', cron: '0 0 * * *' }, 'INVALID_INPUT', /either cron or every/],
  ['with a time zone that changes nothing', { every: '1h', timeZone: 'Europe/Berlin' }, 'INVALID_INPUT', /time zone/],
  ['with a cron expression that is none', { cron: 'at noon' }, 'INVALID_INPUT', /Temporal refuses .*5-7 fields/],
  ['in a time zone that there is not', { timeZone: 'Europe/Nowhere' }, 'INVALID_INPUT', /Nowhere/],
  ['every nothing', { every: '0s' }, 'INVALID_INPUT', /no length of time/],
  ['of an unknown chain', { chain: 'nope' }, 'UNKNOWN_CHAIN', /"nope"/],
  ['with an input that does not fit', { input: 'a' }, 'INVALID_INPUT', /does not fit inSequence/],
  ['of an unknown priority', { priority: 'top' }, 'INVALID_INPUT', /"top"/],
  ['without a name', { name: '' }, 'INVALID_INPUT', /name of a schedule/],
])('a schedule %s is refused, and none is made', async (_, more, code, message) => {
  const refused = create('refused', more);
  await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  await expect(schedules().describe('refused')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
});

test('a name is given once, and an unknown one is told by every command', async () => {
  await create('taken');
  await expect(create('taken', { input: ['b'] })).rejects.toMatchObject({ code: 'SCHEDULE_EXISTS' });
  expect(await schedules().describe('taken')).toMatchObject({ input: ['a'] });
  for (const command of ['describe', 'pause', 'resume', 'trigger', 'delete'] as const) {
    await expect(schedules()[command]('nope')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
  }
});
