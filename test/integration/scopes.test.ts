import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { ChainTestEnvironment, hang, refusal } from '../../src/testing.js';
import { scopedApp } from '../support/scoped-app.js';
import { until } from '../support/stack-process.js';

let environment: ChainTestEnvironment<typeof scopedApp>;
beforeAll(async () => {
  environment = await ChainTestEnvironment.start({
    app: scopedApp,
    temporal: 'dev',
    databaseUrl: inject('postgresUrl'),
    config: { heartbeatTimeoutMs: 1_000 },
  });
});
afterAll(() => environment?.stop());

const submit = async (chain: keyof typeof scopedApp.chains, input: unknown): Promise<string> =>
  (await environment.client.submit({ chain, input })).id;
const status = (id: string) => environment.client.status(id);
const untilIn = (id: string, state: string) =>
  until(`${id} is ${state}`, async () => (await status(id)).state === state);
const untilWaiting = (id: string) => until(`${id} waits`, async () => (await status(id)).waitsFor ?? undefined);

/** A model whose calls stay open until they are let go; knows which are open. */
function gatedModel() {
  const open = new Map<string, () => void>();
  let most = 0;
  environment.script(async ({ prompt }) => {
    await new Promise<void>((resolve) => {
      open.set(prompt, resolve);
      most = Math.max(most, open.size);
    });
    open.delete(prompt);
    return prompt;
  });
  const letGo = (prompt: string): void => open.get(prompt)?.();
  return { open, letGo, most: () => most };
}

test('calls of steps go in by the limits of all of their scopes; the others wait outside of every queue', async () => {
  const model = gatedModel();
  const waitsOf = async (id: string) => (await status(id)).steps.map(({ state, waitsFor }) => [state, waitsFor]);
  const ids = [await submit('lookUp', [{ customer: 'ann', event: 'look 1' }])];
  await until('look 1 is open', async () => model.open.has('ann: look 1'));
  const second = await submit('lookUp', [{ customer: 'ann', event: 'look 2' }]);
  await expect
    .poll(() => waitsOf(second), { timeout: 20_000 })
    .toEqual([['parked', 'scope customer (ann): 1 of 1 in use, 0 before it']]);
  // One of two places is free, and nobody passes look 2 for it, which waits for its customer.
  const third = await submit('lookUp', [{ customer: 'ben', event: 'write' }]);
  await expect
    .poll(() => waitsOf(third), { timeout: 20_000 })
    .toEqual([['parked', 'scope crm: 1 of 2 in use, 1 before it']]);
  ids.push(second, third);
  expect(model.open.size).toBe(1);
  model.letGo('ann: look 1');
  await until('both others are open', async () => model.open.has('ann: look 2') && model.open.has('ben: write'));
  for (const prompt of ['ann: look 2', 'ben: write']) model.letGo(prompt);
  for (const id of ids) expect((await environment.wait(id)).state).toBe('completed');
  expect(model.most()).toBe(2);
});

test('a chain keeps its scope while it is held, and gives it back at its end', async () => {
  environment.script({ read: [refusal('Not this.'), 'one', 'two'] });
  const first = await submit('handleEvent', { customer: 'dora', event: '1' });
  await untilIn(first, 'held');
  const second = await submit('handleEvent', { customer: 'dora', event: '2' });
  expect(await untilWaiting(second)).toBe('scope customer (dora): 1 of 1 in use, 0 before it');
  await environment.client.cancel(first);
  expect(await environment.wait(second)).toMatchObject({ state: 'completed', waitsFor: null, output: 'two' });
});

test('a chain that lends its scope while it waits for a person takes it again before it goes on', async () => {
  const model = gatedModel();
  const ids = [];
  for (const event of ['1', '2']) ids.push(await submit('reviewEvent', { customer: 'eve', event }));
  const [first, second] = ids as [string, string];
  for (const prompt of ['eve: 1', 'eve: 2']) {
    await until(`${prompt} is open`, async () => model.open.has(prompt));
    expect(model.open.size).toBe(1);
    model.letGo(prompt);
  }
  // Both wait for a person, so neither has it. The first one is given it; the second one then waits for the first.
  await untilIn(second, 'held');
  await environment.client.decide(first, { verdict: 'approve', by: 'ann' });
  await until('the first goes on', async () => model.open.has('eve: 1 after'));
  await environment.client.decide(second, { verdict: 'approve', by: 'ann' });
  expect(await untilWaiting(second)).toBe('scope customer (eve): 1 of 1 in use, 0 before it');
  model.letGo('eve: 1 after');
  await until('the second goes on', async () => model.open.has('eve: 2 after'));
  model.letGo('eve: 2 after');
  for (const id of [first, second]) expect((await environment.wait(id)).state).toBe('completed');
});

test('a chain that lends its scope while a step of it has failed takes it again with the retry', async () => {
  environment.script({ read: [refusal('Not this.'), 'other', 'other again', 'read', 'after'] });
  const held = await submit('reviewEvent', { customer: 'fay', event: '1' });
  await untilIn(held, 'held');
  const other = await submit('handleEvent', { customer: 'fay', event: '2' });
  expect((await environment.wait(other)).state).toBe('completed');
  expect(await environment.client.deadLetters.show(held)).toMatchObject({ scopes: ['customer (fay)'] });
  await environment.client.decide(held, { verdict: 'retry', by: 'ann' });
  await until('it asks for approval', async () => (await status(held)).holds[0]?.kind === 'approval');
  await environment.client.decide(held, { verdict: 'approve', by: 'ann' });
  expect(await environment.wait(held)).toMatchObject({ state: 'completed', output: true });
});

test('a dead letter names the entities of its step, which has given them back', async () => {
  environment.script({ look: [refusal('Not this.')] });
  const id = await submit('lookUp', [{ customer: 'kim', event: 'look 1' }]);
  await untilIn(id, 'held');
  expect(await environment.client.deadLetters.show(id)).toMatchObject({ scopes: ['crm', 'customer (kim)'] });
  await environment.client.cancel(id);
});

test('a call that its chain gives up leaves the line, and gives back what it has', async () => {
  const model = gatedModel();
  const holder = await submit('handleEvent', { customer: 'gil', event: 'holds' });
  await until('the holder is in its call', async () => model.open.has('gil: holds'));
  const inLine = await submit('lookThenWrite', { customer: 'gil', event: 'in line' });
  await until('it has given up', async () => model.open.has('gil: in line'));
  expect((await status(inLine)).steps.find(({ name }) => name === 'look')).toBeUndefined();
  for (const prompt of ['gil: in line', 'gil: holds']) model.letGo(prompt);
  await until('the holder goes on', async () => model.open.has('gil: holds again'));
  model.letGo('gil: holds again');
  for (const id of [holder, inLine]) expect((await environment.wait(id)).state).toBe('completed');

  environment.script(({ step, prompt }) => (step === 'look' && prompt === 'hal: first' ? hang() : prompt));
  const first = await submit('lookThenWrite', { customer: 'hal', event: 'first' });
  const second = await submit('lookUp', [{ customer: 'hal', event: 'second' }]);
  for (const id of [first, second]) expect((await environment.wait(id)).state).toBe('completed');
}, 100_000);

test('a rate holds calls back until their time has come', async () => {
  environment.script(({ prompt }) => prompt);
  const events = Array.from({ length: 6 }, (_, number) => ({ customer: 'ida', event: `mail ${number}` }));
  const id = await submit('sendAll', events);
  await until('some wait for the rate', async () =>
    (await status(id)).steps.some(({ waitsFor }) => waitsFor?.startsWith('scope mail: 2 of 2 in 1 s')),
  );
  expect(await environment.wait(id)).toMatchObject({ state: 'completed', steps: { length: 6 } });
});

test('a chain whose input gives no key is refused, and a step is held', async () => {
  const input = { customer: '', event: '1' };
  await expect(submit('handleEvent', input)).rejects.toMatchObject({
    code: 'INVALID_INPUT',
    message: expect.stringContaining('The input of handleEvent gives no key for scope customer'),
  });
  const id = await submit('lookUp', [input]);
  await untilIn(id, 'held');
  expect((await status(id)).holds).toMatchObject([{ reason: 'malformed_payload', step: 'look' }]);
  await environment.client.cancel(id);
});

test('docs/scopes.md shows the application that runs here', async () => {
  const [docs, code] = await Promise.all(
    ['../../docs/scopes.md', '../support/scoped-app.ts'].map((path) =>
      readFile(new URL(path, import.meta.url), 'utf8'),
    ),
  );
  expect(docs).toContain(code?.replace('../../src/index.js', 'holdfast'));
});

test('a worker does not start with a scope that cannot work', async () => {
  const app = { ...scopedApp, scopes: { ...scopedApp.scopes, crm: { kind: 'integration', limit: 0 } } } as const;
  await expect(ChainTestEnvironment.start({ app, databaseUrl: inject('postgresUrl') })).rejects.toMatchObject({
    code: 'BAD_CONFIGURATION',
    message: 'Scope crm has the limit 0.',
  });
});
