import { describe, expect, test } from 'vitest';
import type { TokenUsage } from '../../src/contracts/models.js';
import { CONTEXT_WINDOWS, contextWindowOf } from '../../src/models/context-windows.js';
import { costMicroUsd, PRICES, PRICES_AS_OF } from '../../src/models/prices.js';

const NONE: TokenUsage = {
  inputTokens: 0,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 0,
};
const MILLION = 1_000_000;

function cost(model: string, usage: Partial<TokenUsage>) {
  return costMicroUsd(model, { ...NONE, ...usage });
}

describe('costMicroUsd', () => {
  test.each([
    ['claude-sonnet-5-5', 2, 10, 2.5, 4, 0.1],
    ['claude-opus-5-5', 4, 20, 5, 8, 0.2],
  ])('prices %s by kind of token', (model, input, output, write5m, write1h, read) => {
    expect(cost(model, { inputTokens: MILLION })).toBe(input * MILLION);
    expect(cost(model, { outputTokens: MILLION })).toBe(output * MILLION);
    expect(cost(model, { cacheWrite5mTokens: MILLION })).toBe(write5m * MILLION);
    expect(cost(model, { cacheWrite1hTokens: MILLION })).toBe(write1h * MILLION);
    expect(cost(model, { cacheReadTokens: MILLION })).toBe(read * MILLION);
  });

  test('adds all kinds up', () => {
    const usage = {
      inputTokens: 10,
      outputTokens: 20,
      cacheReadTokens: 30,
      cacheWrite5mTokens: 40,
      cacheWrite1hTokens: 50,
    };
    expect(cost('claude-sonnet-5-5', usage)).toBe(20 + 200 + 3 + 100 + 200);
  });

  test('one token at two dollars a million costs two micro-dollars', () => {
    expect(cost('claude-sonnet-5-5', { inputTokens: 1 })).toBe(2);
  });

  test('rounds to whole micro-dollars', () => {
    expect(cost('claude-haiku-5-5', { inputTokens: 4 })).toBe(0);
    expect(cost('claude-haiku-5-5', { inputTokens: 5 })).toBe(1);
    expect(cost('claude-haiku-5-5', { inputTokens: 3, outputTokens: 3 })).toBe(2);
  });

  test('costs nothing without tokens', () => {
    expect(cost('claude-sonnet-5-5', {})).toBe(0);
  });

  test('prices haiku five times as high when the prompt, cached parts included, is over 100,000 tokens', () => {
    expect(cost('claude-haiku-5-5', { inputTokens: 100_000, outputTokens: 1_000 })).toBe(10_000 + 500);
    expect(cost('claude-haiku-5-5', { inputTokens: 100_001, outputTokens: 1_000 })).toBe(50_001 + 2_500);
    expect(cost('claude-haiku-5-5', { inputTokens: 1, cacheReadTokens: 100_000 })).toBe(5_001);
    expect(cost('claude-haiku-5-5', { inputTokens: 10, outputTokens: 200_000 })).toBe(100_001);
  });

  test.each(['claude-sonnet-6', 'claude-sonnet-5-5-20261001', 'claude-sonnet', '', 'constructor', '__proto__'])(
    'leaves the unknown model %j unpriced',
    (model) => {
      expect(cost(model, { inputTokens: 1 })).toBeNull();
    },
  );

  test('prefers configured prices, model by model', () => {
    const overrides = { mine: { input: 1, output: 2, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 } };
    expect(costMicroUsd('mine', { ...NONE, inputTokens: 3, outputTokens: 1 }, overrides)).toBe(5);
    expect(costMicroUsd('claude-sonnet-5-5', { ...NONE, inputTokens: 3 }, overrides)).toBe(6);
    const cheaper = { 'claude-sonnet-5-5': { input: 1, output: 2, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 } };
    expect(costMicroUsd('claude-sonnet-5-5', { ...NONE, inputTokens: 3 }, cheaper)).toBe(3);
  });

  test('stays exact for very many tokens', () => {
    expect(cost('claude-opus-5-5', { outputTokens: 100 * MILLION })).toBe(2_000 * MILLION);
  });
});

test('the price table is dated and covers the models whose limits are known', () => {
  expect(PRICES_AS_OF).toMatch(/^\d{4}-\d{2}-\d{2}$/);
  expect(Object.keys(PRICES).sort()).toEqual(Object.keys(CONTEXT_WINDOWS).sort());
});

describe('contextWindowOf', () => {
  test('knows the current models', () => {
    expect(contextWindowOf('claude-sonnet-5-5')).toEqual({ contextTokens: 1_000_000, maxOutputTokens: 128_000 });
  });

  test('does not guess', () => {
    expect(contextWindowOf('claude-sonnet-6')).toBeNull();
    expect(contextWindowOf('toString')).toBeNull();
  });

  test('prefers configured limits', () => {
    const mine = { contextTokens: 8_000, maxOutputTokens: 1_000 };
    expect(contextWindowOf('mine', { mine })).toEqual(mine);
    expect(contextWindowOf('claude-sonnet-5-5', { 'claude-sonnet-5-5': mine })).toEqual(mine);
  });
});
