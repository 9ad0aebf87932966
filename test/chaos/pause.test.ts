import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHAINS, DocumentChains, paidAgain } from '../support/document-chains.js';
import { StackProcess, until } from '../support/stack-process.js';

let stack: StackProcess;
beforeAll(async () => {
  stack = await StackProcess.start();
});
afterAll(() => stack?.stop());

const pauses = () => stack.use((client) => client.pauses());

test('a pause outlives the death of everything, and no chain forgets that it is parked or goes on by itself', async () => {
  const chains = new DocumentChains(stack, 'paused');
  await stack.simulator('PUT', 'latency', { firstTokenMs: 8_000, msPerOutputToken: 2, msPerInputToken: 0 });
  const ids = await stack.use((client) => chains.submitAll(client));
  await chains.untilCalls('open', 5);
  // Ordered twice, because a command takes its time to start: the chains must be in their first step.
  await stack.use((client) => client.pause({}, { by: 'anna', reason: 'incident 12' }));
  const drained = await stack.cli(['pause', '--by', 'bob', '--wait']);
  expect(drained).toMatchObject({ code: 0, stdout: expect.stringContaining('everything is paused by anna since') });
  expect(drained.stderr).toContain('No call is open.');
  const parked = { by: 'anna', reason: 'incident 12', openCalls: 0, parkedChains: CHAINS };
  await until('all chains are parked', async () => (await pauses())[0]?.parkedChains === CHAINS);

  await stack.restart('SIGKILL');
  expect(await pauses()).toMatchObject([parked]);
  await stack.use(async (client) => {
    // One that comes now is stopped as well: by then the workers are at work again.
    const { id } = await client.submit({ chain: 'analyzeDocument', input: { document: chains.document(CHAINS) } });
    await until('the new chain is parked', async () =>
      (await client.status(id)).steps.some(({ state }) => state === 'parked'),
    );
    await client.cancel(id);
  });
  expect(await pauses()).toMatchObject([parked]);
  // The simulator has been started anew as well, and nobody has asked it anything.
  expect(await stack.calls()).toEqual([]);

  const resumed = await stack.cli(['resume']);
  expect(resumed).toMatchObject({ code: 0, stdout: `everything goes on; chains woken: ${CHAINS}.\n` });
  await stack.use((client) => chains.finishAll(client, ids));
  expect(paidAgain(await stack.calls())).toEqual([]);
  expect(await pauses()).toEqual([]);
}, 240_000);
