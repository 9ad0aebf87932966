import { describe, expect, test } from 'vitest';
import type { ModelRequest, TokenUsage } from '../../src/contracts/models.js';
import { estimateRequestTokens, estimateTextTokens, TokenEstimator } from '../../src/models/estimate-tokens.js';

function request(...texts: string[]): ModelRequest {
  return {
    model: 'claude-sonnet-5-5',
    maxTokens: 100,
    turns: texts.map((text, index) => ({
      role: index % 2 === 0 ? ('user' as const) : ('assistant' as const),
      content: [{ type: 'text' as const, text }],
    })),
    cache: '5m',
  };
}

function used(inputTokens: number, outputTokens = 0): TokenUsage {
  return { inputTokens, outputTokens, cacheReadTokens: 0, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0 };
}

describe('estimateTextTokens', () => {
  test.each([
    ['', 0],
    ['a', 1],
    ['abcde', 2],
    ['x'.repeat(1_000), 400],
    ['é', 2],
    ['日本語日本', 6],
    ['abcde日本語日本', 8],
    ['🙂'.repeat(5), 6],
  ])('counts %j as %d', (text, tokens) => {
    expect(estimateTextTokens(text)).toBe(tokens);
  });
});

describe('estimateRequestTokens', () => {
  test('counts turns, system prompt and schema', () => {
    const plain = estimateRequestTokens(request('x'.repeat(100)));
    expect(plain).toBe(44);
    expect(estimateRequestTokens({ ...request('x'.repeat(100)), system: 'x'.repeat(100) })).toBe(plain + 40);
    const outputSchema = { type: 'object' };
    expect(estimateRequestTokens({ ...request('x'.repeat(100)), outputSchema })).toBeGreaterThan(plain);
  });
});

test('estimateRequestTokens counts images and documents by their sizes, not by their bytes', () => {
  const content = [
    { type: 'image', blob: 'i', bytes: 5_000_000, mediaType: 'image/png', width: 280, height: 28 },
    { type: 'document', blob: 'p', bytes: 9_000_000, mediaType: 'application/pdf', pages: 2 },
  ] as const;
  expect(estimateRequestTokens({ ...request(), turns: [{ role: 'user', content }] })).toBe(4 + 10 + 6_000);
});

describe('TokenEstimator', () => {
  const text = 'x'.repeat(1_000);
  const plain = estimateRequestTokens(request(text));

  test('starts from the text alone', () => {
    expect(new TokenEstimator().estimate(request(text), 'analyze')).toBe(plain);
  });

  test('comes nearer to the truth with each call of the step', () => {
    const estimator = new TokenEstimator();
    const errors = [0, 1, 2, 3, 4, 5].map((call) => {
      const fresh = request(`${call}${text.slice(1)}`);
      const error = Math.abs(estimator.estimate(fresh, 'analyze') - 2 * plain);
      estimator.learn(fresh, 'analyze', used(2 * plain));
      return error;
    });
    expect(errors).toEqual([...errors].sort((a, b) => b - a));
    expect(errors.at(-1)).toBeLessThan(plain / 2);
  });

  test('counts what was read from and written to the cache as input', () => {
    const estimator = new TokenEstimator();
    estimator.learn(request(text), 'analyze', { ...used(0), cacheReadTokens: plain, cacheWrite1hTokens: plain });
    expect(estimator.ratio('claude-sonnet-5-5', 'analyze')).toBeCloseTo(1.2);
  });

  test('learns for each model and step by itself', () => {
    const estimator = new TokenEstimator();
    estimator.learn(request(text), 'analyze', used(2 * plain));
    expect(estimator.ratio('claude-sonnet-5-5', 'summarize')).toBe(1);
    expect(estimator.ratio('claude-haiku-5-5', 'analyze')).toBe(1);
  });

  test('is not thrown off by one absurd number', () => {
    const estimator = new TokenEstimator();
    estimator.learn(request(text), 'analyze', used(1_000 * plain));
    expect(estimator.ratio('claude-sonnet-5-5', 'analyze')).toBeLessThan(2);
  });

  test('learns nothing from a provider that reports no usage', () => {
    const estimator = new TokenEstimator();
    estimator.learn(request(text), 'analyze', used(0));
    expect(estimator.ratio('claude-sonnet-5-5', 'analyze')).toBe(1);
  });

  test('takes the true tokens of the conversation that a request continues', () => {
    const estimator = new TokenEstimator();
    estimator.learn(request(text), 'analyze', used(5_000, 300));
    const next = request(text, 'an answer', 'x'.repeat(100));
    expect(estimator.estimate(next, 'summarize')).toBe(5_300 + 44);
  });

  test('does so for each of the calls that fork a conversation, and not for another system prompt', () => {
    const estimator = new TokenEstimator();
    estimator.learn(request(text), 'analyze', used(5_000, 300));
    for (const fork of ['x', 'y']) {
      expect(estimator.estimate(request(text, 'an answer', fork.repeat(100)), 'summarize')).toBe(5_344);
    }
    const other = { ...request(text, 'an answer', 'x'.repeat(100)), system: 'Other.' };
    expect(estimator.estimate(other, 'summarize')).toBeLessThan(1_000);
  });

  test('forgets the oldest conversations', () => {
    const estimator = new TokenEstimator();
    for (let call = 0; call <= 2_000; call++) estimator.learn(request(`text ${call}`), 'analyze', used(5_000));
    expect(estimator.estimate(request('text 0', 'a', 'b'), 'other')).toBeLessThan(1_000);
    expect(estimator.estimate(request('text 1', 'a', 'b'), 'other')).toBeGreaterThan(5_000);
  });
});
