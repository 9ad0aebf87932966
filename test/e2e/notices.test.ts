import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebhookReceiver } from '../support/notice-receivers.js';
import { runCli, StackProcess } from '../support/stack-process.js';

let webhook: WebhookReceiver;
let stack: StackProcess;
beforeAll(async () => {
  webhook = await WebhookReceiver.start();
  stack = await StackProcess.start({
    HOLDFAST_NOTIFY_WEBHOOK_URL: webhook.origin,
    HOLDFAST_NOTIFY_WEBHOOK_SECRET: 'at-least-16-characters',
  });
});
afterAll(async () => {
  await stack?.stop();
  await webhook?.stop();
});

test('a chain that is held is told to a webhook, and again when it is handed on', async () => {
  await stack.simulator('PUT', 'faults', [{ kind: 'refusal', match: { contains: 'Now write a summary' } }]);
  const id = await stack.use(async (client) => {
    const chain = await client.submit({ chain: 'analyzeDocument', input: { document: 'A tide table.' } });
    expect((await client.wait(chain.id)).state).toBe('held');
    return chain.id;
  });
  await expect.poll(() => webhook.notices.length).toBe(1);
  expect(webhook.notices[0]).toMatchObject({ event: 'opened', step: 'summarize', reason: 'refusal', sample: { id } });

  const hand = async (to: string, env: NodeJS.ProcessEnv = {}): Promise<string> => {
    const args = ['dead-letters', 'escalate', id, '--to', to, '--by', 'ann', '--reason', 'not our prompt'];
    const result = await runCli(args, { ...stack.env, ...env });
    expect(result).toMatchObject({ code: 0 });
    return result.stdout;
  };
  expect(await hand('eve')).toBe(`${id} summarize-1: eve looks after it.\nA worker tells it by webhook.\n`);
  await expect.poll(() => webhook.notices.length).toBe(2);
  expect(webhook.notices[1]).toMatchObject({
    event: 'escalated',
    thread: webhook.notices[0]?.thread,
    escalation: { to: 'eve', by: 'ann', note: 'not our prompt' },
  });
  const nowhere = { HOLDFAST_NOTIFY_WEBHOOK_URL: '', HOLDFAST_NOTIFY_WEBHOOK_SECRET: '' };
  expect(await hand('bob', nowhere)).toContain('bob looks after it.\nNobody is told of it: neither a webhook nor mail');
  expect((await stack.cli(['doctor'])).stdout).toContain('Notices: By webhook; all have arrived.');
});

test('an escalation without a reason is refused', async () => {
  const result = await stack.cli(['dead-letters', 'escalate', 'any', '--to', 'eve']);
  expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('--reason') });
});
