import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { z } from 'zod';
import { defineChain, defineStep } from '../../src/agents/define.js';
import type { Receipt } from '../../src/client/read-receipts.js';
import type { HoldDecision, StepEdit } from '../../src/contracts/holds.js';
import { DECIDE_HOLD_UPDATE } from '../../src/contracts/messages.js';
import { flawOfReasons, REASONS, StepError } from '../../src/contracts/reasons.js';
import type { ChainStatus } from '../../src/contracts/status.js';
import { ChainTestEnvironment, cutOff, failure, refusal } from '../../src/testing.js';

const model = 'claude-haiku-5-5';
const answer = z.object({ keyPoints: z.array(z.string().min(1)).length(2) });

const app = {
  chains: {
    inSequence: defineChain({ input: z.array(z.string()), steps: ['echo'] }),
    withReason: defineChain({ input: z.string(), steps: ['checked'] }),
    withSkippable: defineChain({ input: z.string(), steps: ['echo'], title: (text) => `about ${text}` }),
    analyzeDocument: defineChain({ input: z.object({ document: z.string() }), steps: ['analyze', 'summarize'] }),
  },
  steps: {
    echo: defineStep({ model, input: z.object({ text: z.string().max(20) }), prompt: ({ text }) => text }),
    analyze: defineStep({
      model,
      output: answer,
      prompt: ({ document }: { document: string }) => `Analyze ${document}`,
    }),
    summarize: defineStep({ model, prompt: () => 'Summarize' }),
    checked: defineStep({
      model,
      prompt: ({ reason }: { reason: string }) => {
        throw new StepError(reason, 'Claim 7 is not what it should be.');
      },
    }),
    // So that its model has a quota.
    larger: defineStep({ model: 'claude-sonnet-5-5', prompt: () => 'Summarize' }),
  },
  reasons: { claim_closed: { meaning: 'The claim is closed.', suggestedAction: 'Reopen it, then retry.' } },
  workflowsPath: fileURLToPath(new URL('../support/chains.ts', import.meta.url)),
};

let environment: ChainTestEnvironment<typeof app>;
beforeAll(async () => {
  environment = await ChainTestEnvironment.start({
    app,
    databaseUrl: inject('postgresUrl'),
    config: { accounts: { backup: { apiKeyEnv: 'BACKUP_KEY', apiKey: 'a-secret-key' } } },
  });
});
afterAll(() => environment?.stop());

const by = 'a test';
const decide = (id: string, decision: Omit<HoldDecision, 'by'>) => environment.client.decide(id, { by, ...decision });
const retry = (id: string, edit: StepEdit) => decide(id, { verdict: 'retry', note: 'because', edit });
const deadLetters = () => environment.client.deadLetters;

async function held(texts: string[], tenant = 'acme'): Promise<ChainStatus> {
  const { id } = await environment.client.submit({ chain: 'inSequence', input: texts, tenant });
  const status = await environment.wait(id);
  expect(status.state).toBe('held');
  return status;
}

/** What other tests have let fail is forgotten: the step is called as any other one. */
async function closeCircuit(): Promise<void> {
  environment.script(() => 'fine');
  const { id, state } = await environment.run('inSequence', ['to close']);
  if (state === 'held') await decide(id, { verdict: 'retry' });
  expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
}

describe('retry with an edit', () => {
  test('takes another input, and keeps what was finished', async () => {
    const script = environment.script({ echo: ['first', refusal('not that'), 'second'] });
    const { id } = await held(['one', 'two']);
    await retry(id, { input: { text: 'another' } });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: ['first', 'second'] });
    expect(script.calls.map(({ prompt }) => prompt)).toEqual(['one', 'two', 'another']);
    script.verify();
  });

  test('takes another prompt, system prompt, model and limit, and edits add up', async () => {
    const script = environment.script({ echo: [refusal(), cutOff('too'), 'done'] });
    const { id } = await held(['asked']);
    await retry(id, { prompt: 'asked otherwise', model: 'claude-sonnet-5-5' });
    expect(await environment.wait(id)).toMatchObject({
      state: 'held',
      holds: [{ id: 'echo-1-2', reason: 'max_tokens' }],
    });
    expect(await deadLetters().show(id)).toMatchObject({ model: 'claude-sonnet-5-5' });
    await retry(id, { maxTokens: 77, system: 'Be short.', lane: 'heavy', priority: 'high' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: ['done'] });
    expect(script.calls.map(({ request }) => [request.model, request.maxTokens, request.system])).toEqual([
      [model, 4_096, undefined],
      ['claude-sonnet-5-5', 4_096, undefined],
      ['claude-sonnet-5-5', 77, 'Be short.'],
    ]);
    expect(script.calls.at(-1)?.prompt).toBe('asked otherwise');
    expect((await environment.client.status(id)).steps).toMatchObject([{ attempts: 3 }]);
    script.verify();
  });

  test('goes through another account, and back, with quotas and receipts of its own', async () => {
    const tenant = 'accounts';
    const script = environment.script({ echo: [failure('spend_limit'), failure('spend_limit'), 'done'] });
    const { id } = await held(['asked'], tenant);
    await retry(id, { account: 'backup' });
    expect(await environment.wait(id)).toMatchObject({ state: 'held' });
    expect((await deadLetters().show(id)).attemptsMade).toMatchObject([{ account: null }, { account: 'backup' }]);
    await retry(id, { account: null });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: ['done'] });
    expect(script.calls.map(({ request }) => request.account)).toEqual([undefined, 'backup', undefined]);
    const receipts: Receipt[] = [];
    for await (const receipt of environment.client.receipts({ tenant })) receipts.push(receipt);
    expect(receipts.map(({ account }) => account)).toEqual([null, 'backup', null]);
    expect(new Set(receipts.map(({ promptHash }) => promptHash)).size).toBe(1);
    const history = JSON.stringify(await environment.client.history(id));
    expect(history).toMatch(/"holdfast\.[\w.-]+@backup\.fast"/);
    expect(history + JSON.stringify(receipts)).not.toContain('a-secret-key');
    script.verify();
  });

  test('to an account that the workers lack is held again, and says which there are', async () => {
    const script = environment.script({ echo: [refusal(), 'done'] });
    const { id } = await held(['asked']);
    await retry(id, { account: 'nowhere' });
    expect(await environment.wait(id)).toMatchObject({
      state: 'held',
      holds: [{ reason: 'unsupported_step', message: 'The workers have no account "nowhere"; known: backup.' }],
    });
    await retry(id, { account: 'backup' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
    script.verify();
  });

  test.each([
    ['leaves out turns', { dropTurns: 1 }, ['two', 'second', 'three', 'third', 'four']],
    [
      'puts a summary in the place of the conversation',
      { summary: 'We counted.' },
      [expect.stringContaining('We counted.'), 'Understood.', 'three', 'third', 'four'],
    ],
  ])('%s, and the steps after it go on from that', async (_, edit, turns) => {
    const script = environment.script({ echo: ['first', 'second', refusal(), 'third', 'fourth'] });
    const { id } = await held(['one', 'two', 'three', 'four']);
    await retry(id, edit);
    expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
    const texts = script.calls
      .at(-1)
      ?.request.turns.map(({ content }) => content.map((block) => Object(block).text).join(''));
    expect(texts).toEqual(turns);
    script.verify();
  });

  test.each([
    [
      'an input that does not fit its schema',
      { input: { text: 'x'.repeat(21) } },
      /input does not fit that of echo: text/,
    ],
    ['a field that there is not', { temperature: 1 }, /"temperature" cannot be edited/],
    ['nothing', {}, /some of: input, prompt/],
    ['a list', [1], /is an object with some of/],
    ['a model with a NUL', { model: 'a\0b' }, /model is to be a text/],
    ['more than an input may have', { prompt: 'x'.repeat(11_000_000) }, /has 11000013 bytes; the largest input has/],
    ['what is no JSON', { input: { text: 1n } }, /cannot be written as JSON/],
    ['two conversations', { dropTurns: 1, summary: 'x' }, /both take the place/],
    [
      'wrong values',
      { maxTokens: 0, lane: 'slow', priority: 'urgent', model: ' ' },
      /model is to be a text; maxTokens|maxTokens is to be a whole number above 0; lane is to be one of fast, heavy/,
    ],
  ])('refuses %s, and changes nothing', async (_, edit, message) => {
    environment.script({ echo: [refusal(), 'done'] });
    const { id } = await held(['one']);
    await expect(retry(id, edit as StepEdit)).rejects.toThrow(message);
    expect(await environment.client.status(id)).toMatchObject({ state: 'held' });
    await decide(id, { verdict: 'retry' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
  });

  test('goes on where it stood after a year', async () => {
    const script = environment.script({ echo: ['first', refusal(), 'second'] });
    const { id } = await held(['one', 'two']);
    await environment.skipTime('365 days');
    await retry(id, { prompt: 'two again' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: ['first', 'second'] });
    expect(script.calls.map(({ prompt }) => prompt)).toEqual(['one', 'two', 'two again']);
    script.verify();
  });

  test('needs a reason', async () => {
    environment.script({ echo: [refusal()] });
    const { id } = await held(['one']);
    const silent = decide(id, { verdict: 'retry', edit: { maxTokens: 5 } });
    await expect(silent).rejects.toThrow('To retry with an edit needs a reason');
    await environment.client.cancel(id);
  });
});

describe('resolve', () => {
  test('gives the result in place of the model, and later steps go on from it', async () => {
    const script = environment.script({ analyze: [refusal()], summarize: ['summary'] });
    const { id } = await environment.run('analyzeDocument', { document: 'D' });
    const result = { keyPoints: ['a', 'b'] };
    await decide(id, { verdict: 'resolve', note: 'read it myself', edit: result });
    expect(await environment.wait(id)).toMatchObject({
      state: 'completed',
      output: { analysis: result, summary: 'summary' },
    });
    const texts = script.calls
      .at(-1)
      ?.request.turns.map(({ content }) => content.map((block) => Object(block).text).join(''));
    expect(texts).toEqual([expect.stringContaining('Analyze D'), JSON.stringify(result), 'Summarize']);
    script.verify();
  });

  test.each([
    ['does not fit the output', { keyPoints: ['a'] }, /result does not fit the output of analyze: keyPoints/],
    ['is missing', undefined, /needs its result/],
  ])('refuses a result that %s', async (_, edit, message) => {
    environment.script({ analyze: [refusal()] });
    const { id } = await environment.run('analyzeDocument', { document: 'D' });
    const decided = decide(id, { verdict: 'resolve', note: 'x', ...(edit && { edit }) });
    await expect(decided).rejects.toThrow(message);
    await environment.client.cancel(id);
  });
});

describe('skip', () => {
  test('goes on with what the author has said', async () => {
    const script = environment.script({ echo: [refusal(), 'after it'] });
    const { id } = await environment.run('withSkippable', 'this');
    expect(await deadLetters().show(id)).toMatchObject({
      verdicts: ['retry', 'resolve', 'skip', 'cancel'],
      title: 'about this',
    });
    await decide(id, { verdict: 'skip', note: 'not needed' });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed', output: ['left out', 'after it'] });
    script.verify();
  });

  test('is refused where the author has said nothing', async () => {
    environment.script({ echo: [refusal()] });
    const { id } = await held(['one']);
    await expect(decide(id, { verdict: 'skip', note: 'x' })).rejects.toThrow(/cannot be skipped/);
    await environment.client.cancel(id);
  });
});

describe('dead letters', () => {
  test('are shown whole, found by everything that they have, and grouped by cause', async () => {
    const script = environment.script((call) => {
      if (call.prompt === 'good') return 'fine';
      const message = `messages.${call.prompt.length}: no text in req_0123abc${call.prompt}`;
      throw failure('invalid_request', { message, requestId: `req_${call.prompt}` });
    });
    const [a, b, other] = [
      await held(['good', 'x1'], 'ta'),
      await held(['good', 'x22'], 'tb'),
      await held(['y'], 'ta'),
    ];
    const all = await deadLetters().list({ reason: 'invalid_request' });
    expect(all.total).toBe(3);
    expect(all.deadLetters.map(({ id }) => id)).toEqual([a.id, b.id, other.id]);
    const [first] = all.deadLetters;
    const clusters = await deadLetters().clusters({ reason: 'invalid_request' });
    expect(clusters).toMatchObject([
      {
        cluster: first?.cluster,
        count: 3,
        tenants: ['ta', 'tb'],
        step: 'echo',
        model,
        message: 'messages.<n>: no text in <id>',
        sample: { id: other.id, hold: 'echo-1' },
      },
    ]);
    const ids = async (filter: Parameters<ReturnType<typeof deadLetters>['list']>[0]) =>
      (await deadLetters().list({ reason: 'invalid_request', ...filter })).deadLetters.map(({ id }) => id);
    expect(await ids({ tenant: 'tb' })).toEqual([b.id]);
    expect(await ids({ cluster: first?.cluster as string, tenant: 'ta' })).toEqual([a.id, other.id]);
    expect(await ids({ text: 'ABCX22' })).toEqual([b.id]);
    expect(await ids({ text: '%' })).toEqual([]);
    expect(await ids({ since: '1h', step: 'echo', model, chain: 'inSequence' })).toHaveLength(3);
    expect(await ids({ before: '1h' })).toEqual([]);
    expect(await ids({ model: 'another' })).toEqual([]);

    expect(await deadLetters().show(a.id)).toMatchObject({
      hold: 'echo-2',
      chainInput: ['good', 'x1'],
      stepInput: { text: 'x1' },
      conversation: [{ role: 'user' }, { role: 'assistant', content: [{ type: 'text', text: 'fine' }] }],
      attemptsMade: [{ state: 'failed', reason: 'invalid_request', requestId: 'req_x1' }],
      notes: [],
      verdicts: ['retry', 'resolve', 'cancel'],
      history: { workflowId: a.id },
    });
    await deadLetters().annotate(a.id, { by: 'Ada', text: 'asked the provider' });
    expect(await deadLetters().show(a.id)).toMatchObject({ notes: [{ by: 'Ada', text: 'asked the provider' }] });

    await expect(deadLetters().list({ colour: 'red' } as object)).rejects.toThrow('Dead letters have no "colour"');
    await expect(deadLetters().list({ since: 'soon' })).rejects.toThrow('no point in time');
    await expect(deadLetters().show(a.id, 'echo-9')).rejects.toMatchObject({ remedy: 'Its dead letters: echo-2.' });
    await Promise.all([a, b, other].map(({ id }) => environment.client.cancel(id)));
    await expect(deadLetters().show(a.id)).rejects.toThrow('has no dead letter');
    expect(script.calls).toHaveLength(5);
  });
});

describe('retry of many', () => {
  const tenant = 'many';
  const holdMany = async (texts: readonly string[]): Promise<string[]> => {
    const ids = [];
    for (const text of texts) ids.push((await held([text], tenant)).id);
    return ids;
  };
  const retryAll = (options: { edit?: StepEdit; atOnce?: number; signal?: AbortSignal } = {}) =>
    deadLetters().retryAll({ tenant }, { by, note: 'because', ...options });

  test('tries one of each cluster first, and goes on where that one succeeds', async () => {
    const broken = failure('invalid_request', { message: 'broken' });
    environment.script(({ prompt }) => {
      throw prompt.startsWith('good') ? failure('invalid_request', { message: 'mended soon' }) : broken;
    });
    const good = await holdMany(['good 1', 'good 2', 'good 3']);
    const bad = await holdMany(['bad 1', 'bad 2']);
    const plan = await deadLetters().planRetryAll({ tenant });
    expect(plan).toMatchObject({ total: 5, clusters: [{ count: 3, reason: 'invalid_request' }, { count: 2 }] });
    const script = environment.script(({ prompt }) => {
      if (prompt.startsWith('good')) return 'fine';
      throw broken;
    });
    const told: number[] = [];
    const report = await deadLetters().retryAll({ tenant }, { by, onProgress: ({ retried }) => told.push(retried) });
    expect(report).toEqual({
      total: 5,
      retried: 4,
      onTheWay: 0,
      succeeded: 3,
      heldAgain: 1,
      gone: 0,
      leftAlone: [plan.clusters[1]?.cluster],
    });
    expect(told.at(-1)).toBe(4);
    for (const id of good) expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
    expect(script.calls.map(({ prompt }) => prompt).slice(-1)).toEqual(['bad 1']);
    expect((await deadLetters().list({ tenant })).deadLetters.map(({ id }) => id).sort()).toEqual([...bad].sort());
    await Promise.all(bad.map((id) => environment.client.cancel(id)));
  });

  test('takes an edit along, keeps to its number at once, and ends with its signal', async () => {
    environment.script({ echo: [refusal(), refusal(), refusal(), refusal()] });
    const ids = await holdMany(['1', '2', '3', '4']);
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const script = environment.script(async ({ number }) => {
      if (number > 1) await released;
      return 'fine';
    });
    const stop = new AbortController();
    const running = retryAll({ edit: { maxTokens: 9 }, atOnce: 2, signal: stop.signal });
    await expect.poll(() => script.calls.length, { timeout: 30_000 }).toBe(3);
    stop.abort();
    expect(await running).toMatchObject({ total: 4, retried: 3, onTheWay: 2, succeeded: 1, leftAlone: [] });
    release();
    expect(script.calls.map(({ request }) => request.maxTokens)).toEqual([9, 9, 9]);
    const states = await Promise.all(ids.map(async (id) => (await environment.wait(id)).state));
    expect(states).toEqual(['completed', 'completed', 'completed', 'held']);
    await environment.client.cancel(ids[3] as string);
  });

  test('refuses what fits nothing, a wrong number and an edit that does not fit, and changes nothing', async () => {
    environment.script({ echo: [refusal()] });
    const [id] = await holdMany(['1']);
    await expect(deadLetters().retryAll({ tenant: 'nobody' }, { by })).rejects.toThrow('No dead letter fits');
    await expect(retryAll({ atOnce: 0 })).rejects.toThrow('0 at once is none');
    await expect(retryAll({ edit: { maxTokens: -1 } })).rejects.toThrow('maxTokens is to be');
    expect(await deadLetters().list({ tenant })).toMatchObject({ total: 1 });
    await environment.client.cancel(id as string);
  });
});

describe('cancel', () => {
  test('ends the chain, says who did it and why, and needs a reason', async () => {
    const script = environment.script({ echo: [refusal()] });
    const { id } = await held(['one']);
    await expect(deadLetters().cancel(id, { by, note: ' ' })).rejects.toThrow('To cancel needs a reason');
    expect(await deadLetters().cancel(id, { by, note: 'withdrawn' })).toMatchObject({
      holds: [{ id: 'echo-1', outcome: { accepted: true, decision: { verdict: 'cancel', by, note: 'withdrawn' } } }],
    });
    expect(await environment.client.status(id)).toMatchObject({
      state: 'cancelled',
      holds: [],
      decisions: [{ hold: 'echo-1', verdict: 'cancel', by, note: 'withdrawn' }],
    });
    await expect(decide(id, { verdict: 'retry' })).rejects.toThrow(/cancelled, not held/);
    await expect(decide(id, { verdict: 'resolve', note: 'x', edit: 'y' })).rejects.toThrow(
      `already decided by ${by} at`,
    );
    script.verify();
  });

  test('loses to a retry that came first', async () => {
    environment.script({ echo: [refusal(), 'done'] });
    const { id } = await held(['one']);
    await decide(id, { verdict: 'retry' });
    await expect(deadLetters().cancel(id, { by: 'another', note: 'x' }, 'echo-1')).rejects.toMatchObject({
      code: 'ALREADY_DECIDED',
      message: expect.stringContaining(`by ${by}`),
    });
    expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
  });

  test('comes also from Temporal, as an update of the workflow', async () => {
    environment.script({ echo: [refusal()] });
    const { id } = await held(['one']);
    const decision = { holdId: 'echo-1', verdict: 'cancel', by: 'ann', note: 'by update' };
    // biome-ignore lint/complexity/useLiteralKeys: private to all others
    const outcome = await environment['temporal'].use((client) =>
      client.workflow.getHandle(id).executeUpdate(DECIDE_HOLD_UPDATE, { args: [decision] }),
    );
    expect(outcome).toMatchObject({ accepted: true });
    const ended = await environment.client.wait(id, { throughHolds: true });
    expect(ended).toMatchObject({ state: 'cancelled', decisions: [{ by: 'ann', note: 'by update' }] });
  });
});

describe('bad input', () => {
  test.each<[string, Partial<HoldDecision>, RegExp]>([
    ['nobody who decides', { by: '' }, /says who decided/],
    ['a number as who decides', { by: 7 as never }, /says who decided/],
    ['a name without end', { by: 'a'.repeat(201) }, /`by` has 201 characters/],
    ['a reason without end', { note: 'a'.repeat(10_001) }, /reason has 10001 characters/],
    ['an object as reason', { note: {} as never }, /note of a decision is a text/],
    ['a verdict that there is not', { verdict: 'forget' as never }, /takes no "forget"|not "forget"/],
    ['the verdict of an approval', { verdict: 'approve' }, /takes no "approve"|not "approve"/],
    ['a result with a skip', { verdict: 'skip', edit: 'x' }, /cannot be skipped/],
    ['an edit with a cancel', { verdict: 'cancel', edit: 'x' }, /not with cancel/],
    ['to resolve with nothing', { verdict: 'resolve', edit: ' ' }, /not an empty one/],
  ])('%s is refused, and nothing changes', async (_, decision, says) => {
    environment.script({ echo: [refusal()] });
    const { id } = await held(['one']);
    const before = await environment.client.status(id);
    const decided = environment.client.decide(id, { verdict: 'retry', by, note: 'x', ...decision }, 'echo-1');
    await expect(decided).rejects.toThrow(says);
    expect(await environment.client.status(id)).toEqual(before);
    await environment.client.cancel(id);
  });

  test.each<[string, object, RegExp]>([
    ['a number', { reason: 7 }, /reason to filter by is to be a text/],
    ['a field that was forgotten', { cluster: undefined }, /cluster to filter by is to be a text/],
    ['a NUL', { text: '\0' }, /without NUL/],
    ['an object', { id: { like: '%' } }, /id to filter by/],
    ['a field of everything', JSON.parse('{"__proto__":"x"}'), /no "__proto__"/],
    ['a list', [], /filter is an object/],
  ])('a filter by %s is refused', async (_, filter, says) => {
    await expect(deadLetters().list(filter)).rejects.toThrow(says);
    await expect(deadLetters().clusters(filter)).rejects.toThrow(says);
    await expect(deadLetters().planRetryAll(filter)).rejects.toThrow(says);
    await expect(deadLetters().retryAll(filter, { by })).rejects.toThrow(says);
  });

  test('notes and names that are none are refused', async () => {
    environment.script({ echo: [refusal()] });
    const { id } = await held(['one']);
    await expect(deadLetters().annotate(id, { by: 'a', text: ' ' })).rejects.toThrow('needs a text');
    await expect(deadLetters().annotate(id, { by: 'a', text: 'x'.repeat(10_001) })).rejects.toThrow('needs a text');
    await expect(deadLetters().annotate(id, { by: 7 as never, text: 'x' })).rejects.toThrow('who wrote it');
    await expect(deadLetters().assign(id, undefined as never)).rejects.toThrow('is no name');
    await expect(deadLetters().assign(id, 'a'.repeat(201))).rejects.toThrow('is no name');
    await deadLetters().annotate(id, { by: 'a\0b', text: '<script>\u202e\0' });
    expect(await deadLetters().show(id)).toMatchObject({ assignee: null, notes: [{ by: 'a\ufffdb' }] });
    await expect(deadLetters().show('a\0b')).rejects.toMatchObject({ code: 'CHAIN_NOT_FOUND' });
    await environment.client.cancel(id);
  });

  test('an edit that does not fit one of several steps keeps retry-all from beginning', async () => {
    const tenant = 'several steps';
    environment.script({ echo: [refusal()], analyze: [refusal()] });
    const { id } = await held(['one'], tenant);
    const other = await environment.run('analyzeDocument', { document: 'D' }, { tenant });
    const edit = { input: { document: 'another' } };
    await expect(deadLetters().retryAll({ tenant }, { by, note: 'x', edit })).rejects.toThrow(
      /does not fit that of echo/,
    );
    expect(await deadLetters().list({ tenant })).toMatchObject({ total: 2 });
    await Promise.all([id, other.id].map((one) => environment.client.cancel(one)));
  });

  test('of fifty who decide at once, in every way, one wins and all others are told who', async () => {
    await closeCircuit();
    environment.script({ echo: [refusal()] });
    const { id } = await environment.run('withSkippable', 'this');
    environment.script(() => 'fine');
    const ways: Omit<HoldDecision, 'by'>[] = [
      { verdict: 'retry' },
      { verdict: 'retry', edit: { maxTokens: 9 } },
      { verdict: 'resolve', edit: 'by hand' },
      { verdict: 'skip' },
      { verdict: 'cancel' },
    ];
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, at) =>
        environment.client.decide(id, { ...ways[at % 5]!, by: `decider ${at}`, note: 'x' }, 'echo-1'),
      ),
    );
    const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(won).toHaveLength(1);
    const winner = won[0]?.holds[0]?.outcome.decision.by as string;
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason).toMatchObject({
        code: 'ALREADY_DECIDED',
        message: expect.stringContaining(`decided by ${winner} at`),
      });
    }
    const ended = await environment.client.wait(id, { throughHolds: true });
    expect(ended.decisions).toMatchObject([{ hold: 'echo-1', by: winner }]);
    expect(ended.state).toBe(won[0]?.holds[0]?.outcome.decision.verdict === 'cancel' ? 'cancelled' : 'completed');
  });
});

describe('a step that fails for everybody', () => {
  test('is called no more, but by one probe at a time, until one succeeds', async () => {
    const tenant = 'circuit';
    await closeCircuit();
    const script = environment.script(() => {
      throw failure('permission', { message: 'This key may not use the feature (request 17).' });
    });
    const ids: string[] = [];
    for (let at = 0; at < 22; at += 1) ids.push((await held([`call ${at}`], tenant)).id);
    const paid = script.calls.length;
    expect(paid).toBeLessThan(22);
    const [cluster, ...others] = await deadLetters().clusters({ tenant });
    expect([cluster?.count, others]).toEqual([22, []]);
    expect(await deadLetters().show(ids.at(-1) as string)).toMatchObject({ reason: 'permission', attemptsMade: [] });

    // Sent by a person, it goes; and leaves things as they are.
    await decide(ids[0] as string, { verdict: 'retry' });
    expect(await environment.wait(ids[0] as string)).toMatchObject({ state: 'held' });
    expect(script.calls).toHaveLength(paid + 1);
    // So does one with an edit.
    await retry(ids[1] as string, { prompt: 'edited' });
    expect(await environment.wait(ids[1] as string)).toMatchObject({ state: 'held' });
    expect(script.calls).toHaveLength(paid + 2);

    // One success ends it, and one failure after that does not bring it back.
    const after = environment.script({ echo: ['fine', failure('permission'), 'fine'] });
    await decide(ids[2] as string, { verdict: 'retry' });
    expect(await environment.wait(ids[2] as string)).toMatchObject({ state: 'completed' });
    const { id } = await held(['once more']);
    expect(await environment.run('inSequence', ['and on'])).toMatchObject({ state: 'completed' });
    after.verify();
    await environment.client.cancel(id);

    environment.script(() => 'fine');
    expect(await deadLetters().retryAll({ tenant }, { by })).toMatchObject({ total: 21, succeeded: 21 });
  });
});

describe('a reason of the author', () => {
  test.each([
    ['claim_closed', 'claim_closed', 'Reopen it, then retry.', 'Claim 7 is not what it should be.'],
    ['missing_field', 'missing_field', REASONS.missing_field.suggestedAction, 'Claim 7 is not what it should be.'],
    [
      'no_such_code',
      'unknown',
      REASONS.unknown.suggestedAction,
      /^Reason no_such_code, which is in no registry: Claim 7/,
    ],
  ])('%s holds the step as %s, unpaid', async (given, reason, suggestedAction, message) => {
    const script = environment.script(() => 'never');
    const { id, holds } = await environment.run('withReason', given);
    expect(holds).toMatchObject([{ reason, suggestedAction }]);
    expect(holds[0]?.message).toMatch(message);
    expect(await deadLetters().clusters({ id })).toMatchObject([{ reason, suggestedAction, count: 1 }]);
    expect(script.calls).toEqual([]);
    await environment.client.cancel(id);
  });

  test.each([
    [{ 'Claim closed': { meaning: 'm', suggestedAction: 's' } }, /not of the form/],
    [{ refusal: { meaning: 'm', suggestedAction: 's' } }, /one of Holdfast's own/],
    [{ mine: { meaning: '', suggestedAction: 's' } }, /lacks its meaning/],
  ])('%j is refused', (reasons, says) => expect(flawOfReasons(reasons)).toMatch(says));
});
