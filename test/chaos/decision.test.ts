import { afterAll, beforeAll, expect, test } from 'vitest';
import { DocumentChains } from '../support/document-chains.js';
import { StackProcess } from '../support/stack-process.js';

let stack: StackProcess;

beforeAll(async () => {
  stack = await StackProcess.start();
});
afterAll(() => stack?.stop());

test('a decision that is made while worker and Temporal are down arrives when they are back', async () => {
  const chains = new DocumentChains(stack, 'decided');
  await stack.simulator('PUT', 'faults', [{ kind: 'refusal', times: 1 }]);
  await stack.use(async (client) => {
    const { id } = await client.submit({ chain: 'analyzeDocument', input: { document: chains.document(0) } });
    expect((await client.wait(id)).state).toBe('held');
    const { temporal, worker } = (await stack.ready()).processes;
    // A stopped supervisor starts nothing again, so that both stay down.
    process.kill(stack.supervisorPid, 'SIGSTOP');
    try {
      process.kill(worker[0] as number, 'SIGKILL');
      process.kill(temporal as number, 'SIGKILL');
      const decided = await client.decide(id, { verdict: 'retry', by: 'ann', note: 'while nobody listened' });
      expect(decided.warning).toContain('The decision is recorded');
      await expect(client.decide(id, { verdict: 'retry', by: 'bob' }, 'analyze-1')).rejects.toMatchObject({
        code: 'ALREADY_DECIDED',
        message: expect.stringContaining('decided by ann'),
      });
    } finally {
      process.kill(stack.supervisorPid, 'SIGCONT');
    }
    await stack.untilReady(({ processes }) => processes.temporal !== temporal && processes.worker[0] !== worker[0]);
    await chains.finish(client, id);
    expect(await stack.calls()).toHaveLength(3);
  });
});
