import { describe, expect, test } from 'vitest';
import { ModelCallError, type ModelCallOptions, type ModelRequest } from '../../src/contracts/models.js';
import { cutOff, failure, hang, refusal, type ScriptedModel, scriptedModel } from '../../src/testing.js';

function requestOf(text: string, more: Partial<ModelRequest> = {}): ModelRequest {
  const turns = [{ role: 'user', content: [{ type: 'text', text }] }] as const;
  return { model: 'claude-sonnet-5-5', maxTokens: 100, turns, cache: 'off', ...more };
}

/** Asks the model as the engine would for a step, and gives the text of the answer. */
async function ask(model: ScriptedModel, step: string, text = 'Go.', options: Partial<ModelCallOptions> = {}) {
  const { signal } = new AbortController();
  return (await model.call(requestOf(text), { signal, timeoutMs: 60_000, step, ...options })).text;
}

const thrownBy = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => 'nothing',
    (error: unknown) => error,
  );

describe('a script', () => {
  test('by step answers lists in order, and anything else every time', async () => {
    const model = scriptedModel({ analyze: ['first', { points: [1] }], summarize: 'the same' });
    expect(await ask(model, 'analyze')).toBe('first');
    expect(await ask(model, 'summarize')).toBe('the same');
    expect(await ask(model, 'analyze')).toBe('{"points":[1]}');
    expect(await ask(model, 'summarize')).toBe('the same');
    expect(() => model.verify()).not.toThrow();
  });

  test.each([
    ['an object', { a: 'b' }, '{"a":"b"}'],
    ['a list within the list', ['a', 'b'], '["a","b"]'],
    ['a number', 7, '7'],
    ['null', null, 'null'],
    ['a string, also one that looks like JSON', '"x"', '"x"'],
  ])('answers %s', async (_, answer, text) => {
    expect(await ask(scriptedModel({ say: [answer] }), 'say')).toBe(text);
  });

  test('may be functions that look at the call, in lists too', async () => {
    const model = scriptedModel({
      translate: ({ prompt, number, model: name }) => `${number}: ${prompt} by ${name}`,
      list: ['plain', async () => ['computed']],
    });
    expect(await ask(model, 'translate', 'Hello')).toBe('1: Hello by claude-sonnet-5-5');
    expect(await ask(model, 'translate', 'Bye')).toBe('2: Bye by claude-sonnet-5-5');
    expect([await ask(model, 'list'), await ask(model, 'list')]).toEqual(['plain', '["computed"]']);
  });

  test('of rules gives the answer of the first one that fits and has one left', async () => {
    const model = scriptedModel([
      { step: 'say', prompt: /harbour/gi, answers: ['about the harbour'] },
      { prompt: 'Harbour', answers: ['about the harbour again'] },
      { model: 'claude-sonnet-5-5', answers: 'anything' },
    ]);
    const about = (text: string) => ask(model, 'say', text);
    expect(await about('The Harbour')).toBe('about the harbour');
    expect(await about('The Harbour')).toBe('about the harbour again');
    expect(await about('The Harbour')).toBe('anything');
    expect(await ask(model, 'other', 'The bridge')).toBe('anything');
  });

  test('answers calls that are made at once in the order in which they were made', async () => {
    const model = scriptedModel({ say: [() => new Promise((resolve) => setImmediate(resolve, 'slow')), 'quick'] });
    expect(await Promise.all([ask(model, 'say'), ask(model, 'say')])).toEqual(['slow', 'quick']);
  });

  test('refuses, cuts off and fails as it is told', async () => {
    const model = scriptedModel({
      say: [refusal(), cutOff('half a'), failure('rate_limit', { retryAfterMs: 20 }), new Error('as it is')],
    });
    const call = () => model.call(requestOf(''), { signal: new AbortController().signal, timeoutMs: 1, step: 'say' });
    expect(await call()).toMatchObject({ stopReason: 'refusal', text: 'I would rather not.' });
    expect(await call()).toMatchObject({ stopReason: 'max_tokens', text: 'half a' });
    const limited = await thrownBy(call());
    expect(limited).toBeInstanceOf(ModelCallError);
    expect(limited).toMatchObject({ reason: 'rate_limit', details: { retryAfterMs: 20 } });
    expect(await thrownBy(call())).toEqual(new Error('as it is'));
    expect(model.calls.map(({ state }) => state)).toEqual(['answered', 'answered', 'failed', 'failed']);
  });
});

describe('a call without an answer', () => {
  test('fails for good, and verify says which one it was', async () => {
    const model = scriptedModel({ say: ['once'] });
    await ask(model, 'say');
    const thrown = await thrownBy(ask(model, 'say', 'Again, please.'));
    const message =
      'The script has no answer for call 2 of step say (claude-sonnet-5-5); its prompt: "Again, please.".';
    expect(thrown).toMatchObject({ name: 'ModelCallError', reason: 'invalid_request', message });
    expect(() => model.verify()).toThrow(message);
  });

  test('is also one whose function threw or gave nothing', async () => {
    const cause = new Error('expected 2 to be 3');
    const model = scriptedModel({
      say: () => {
        throw cause;
      },
    });
    await thrownBy(ask(model, 'say'));
    expect(() => model.verify()).toThrow(
      expect.objectContaining({ cause, message: expect.stringContaining('2 to be 3') }),
    );
    const silent = scriptedModel({ say: (() => undefined) as never });
    await thrownBy(ask(silent, 'say'));
    expect(() => silent.verify()).toThrow('answered nothing');
  });

  test('but not one that its function made fail', async () => {
    const model = scriptedModel(() => {
      throw failure('overloaded');
    });
    expect(await thrownBy(ask(model, 'say'))).toMatchObject({ reason: 'overloaded' });
    expect(() => model.verify()).not.toThrow();
  });
});

test('verify tells which answers nobody asked for', async () => {
  const model = scriptedModel([
    { step: 'say', answers: ['a', 'b', 'c'] },
    { prompt: /x/, answers: ['d'] },
  ]);
  await ask(model, 'say');
  expect(() => model.verify()).toThrow('2 for step say, 1 for prompt /x/');
});

describe('a call that hangs', () => {
  test('is aborted with the reason of its signal', async () => {
    const model = scriptedModel({ say: [hang()] });
    const abort = new AbortController();
    const asked = thrownBy(ask(model, 'say', 'Go.', { signal: abort.signal }));
    const call = await model.waitForCall({ step: 'say' });
    expect(call.state).toBe('open');
    const reason = { any: 'value' };
    abort.abort(reason);
    expect(await asked).toBe(reason);
    expect(call.state).toBe('aborted');
  });

  test('and one whose function never answers are given up at their time limit', async () => {
    const model = scriptedModel({ say: [hang(), () => new Promise<string>(() => {})] });
    for (let call = 1; call <= 2; call += 1) {
      const thrown = await thrownBy(ask(model, 'say', 'Go.', { timeoutMs: 5 }));
      expect(thrown).toMatchObject({ reason: 'timeout', message: 'The call took longer than 5 ms.' });
    }
  });

  test('does not begin when its signal is aborted already', async () => {
    const model = scriptedModel({ say: ['x'] });
    const signal = AbortSignal.abort(new Error('too late'));
    expect(await thrownBy(ask(model, 'say', 'Go.', { signal }))).toEqual(new Error('too late'));
    expect(model.calls).toEqual([]);
  });
});

describe('what was asked', () => {
  test('is kept, with step, number, prompt and request', async () => {
    const model = scriptedModel(() => 'fine');
    await ask(model, 'say', 'one');
    await ask(model, 'say', 'two');
    await model.call(requestOf('three'), { signal: new AbortController().signal, timeoutMs: 1 });
    expect(model.calls.map(({ step, number, prompt, state }) => [step, number, prompt, state])).toEqual([
      ['say', 1, 'one', 'answered'],
      ['say', 2, 'two', 'answered'],
      [null, 1, 'three', 'answered'],
    ]);
    expect(model.calls[1]?.request).toEqual(requestOf('two'));
  });

  test('can be waited for, before and after it came, until one has waited enough', async () => {
    const model = scriptedModel(() => 'fine');
    const enough = new AbortController();
    const never = thrownBy(model.waitForCall({ prompt: 'two' }, enough.signal));
    const coming = model.waitForCall({ prompt: 'one' });
    await ask(model, 'say', 'one');
    expect(await coming).toBe(model.calls[0]);
    expect(await model.waitForCall()).toBe(model.calls[0]);
    enough.abort(new Error('enough'));
    expect(await never).toEqual(new Error('enough'));
  });

  test('has plausible tokens: longer texts have more', async () => {
    const model = scriptedModel({ say: ['short', 'a much longer answer than the first one'] });
    const usage = async (text: string) =>
      (await model.call(requestOf(text), { signal: new AbortController().signal, timeoutMs: 1, step: 'say' })).usage;
    const [first, second] = [await usage('Hi.'), await usage('A longer question than the first one.')];
    expect(first.inputTokens).toBeGreaterThan(0);
    expect(second.inputTokens).toBeGreaterThan(first.inputTokens);
    expect(second.outputTokens).toBeGreaterThan(first.outputTokens);
    expect(await model.countTokens(requestOf('Hi.'), { signal: new AbortController().signal, timeoutMs: 1 })).toBe(
      first.inputTokens,
    );
  });
});
