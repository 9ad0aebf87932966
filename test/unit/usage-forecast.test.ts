import { describe, expect, test } from 'vitest';
import type { ModelRequest, TokenUsage } from '../../src/contracts/models.js';
import { TokenEstimator } from '../../src/models/estimate-tokens.js';
import { UsageForecast } from '../../src/models/usage-forecast.js';

function requestOf(texts: readonly string[], more: Partial<ModelRequest> = {}): ModelRequest {
  const turns = texts.map((text, at) => ({
    role: at % 2 === 0 ? ('user' as const) : ('assistant' as const),
    content: [{ type: 'text' as const, text }],
  }));
  return { model: 'm', maxTokens: 4_000, turns, cache: '5m', ...more };
}

function usageOf(inputTokens: number, outputTokens: number, more: Partial<TokenUsage> = {}): TokenUsage {
  return { inputTokens, outputTokens, cacheReadTokens: 0, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0, ...more };
}

const LONG = 'word '.repeat(2_000);
const learnt = { inputLength: 1_500, countCacheReads: false };

function forecastOf(): UsageForecast {
  return new UsageForecast(new TokenEstimator());
}

describe('output', () => {
  test('is guessed at first, and never more than the call may write', () => {
    expect(forecastOf().of(requestOf(['a']), 's', false).output).toBe(1_000);
    expect(forecastOf().of(requestOf(['a'], { maxTokens: 50 }), 's', false).output).toBe(50);
  });

  test('is a high quantile of the latest calls of the same model and step', () => {
    const forecast = forecastOf();
    for (let tokens = 1; tokens <= 100; tokens += 1) {
      forecast.learn(requestOf(['a']), 's', usageOf(10, tokens), learnt);
      forecast.learn(requestOf(['a']), 'other', usageOf(10, 3_000), learnt);
    }
    // The last 64 are 37 to 100.
    expect(forecast.of(requestOf(['a']), 's', false).output).toBe(94);
    expect(forecast.of(requestOf(['a'], { model: 'n' }), 's', false).output).toBe(1_000);
  });

  test('is known from earlier processes', () => {
    const forecast = forecastOf();
    forecast.remember([{ model: 'm', step: 's', output: 7 }]);
    expect(forecast.of(requestOf(['a']), 's', false).output).toBe(7);
  });
});

describe('input', () => {
  test('leaves out a conversation that comes from the cache, unless it counts or is too short to be cached', () => {
    const continued = requestOf([LONG, 'yes', 'and now?']);
    expect(forecastOf().of(continued, 's', false).input).toBeLessThan(20);
    expect(forecastOf().of(continued, 's', true).input).toBeGreaterThan(4_000);
    expect(forecastOf().of(requestOf([LONG, 'yes', 'and now?'], { cache: 'off' }), 's', false).input).toBeGreaterThan(
      4_000,
    );
    const short = requestOf(['word '.repeat(100), 'yes', 'and now?']);
    expect(forecastOf().of(short, 's', false).input).toBeGreaterThan(200);
  });

  test('learns by how much it was wrong', () => {
    const forecast = forecastOf();
    const before = forecast.of(requestOf([LONG]), 's', false).input;
    for (let n = 0; n < 64; n += 1) forecast.learn(requestOf([LONG]), 's', usageOf(before * 2, 1), learnt);
    expect(forecast.of(requestOf([LONG]), 's', false).input).toBe(before * 2);
  });

  test('counts cache writes, and reads only where they count', () => {
    const usage = usageOf(0, 1, { cacheWrite5mTokens: 5, cacheWrite1hTokens: 6, cacheReadTokens: 1_000 });
    const [plain, counting] = [forecastOf(), forecastOf()];
    plain.learn(requestOf(['a']), 's', usage, learnt);
    counting.learn(requestOf(['a']), 's', usage, { ...learnt, countCacheReads: true });
    const input = (forecast: UsageForecast, reads: boolean) => forecast.of(requestOf(['a']), 's', reads).input;
    expect([input(plain, false), input(counting, true)]).toEqual([11, 1_011]);
  });

  test('learns nothing from a server that reports no usage', () => {
    const forecast = forecastOf();
    forecast.learn(requestOf(['a']), 's', usageOf(0, 0), learnt);
    expect(forecast.of(requestOf(['a']), 's', false).output).toBe(1_000);
  });
});

test('before the prompt is rendered it goes by the length of the input', () => {
  const forecast = forecastOf();
  expect(forecast.ofInput('m', 's', 500, 100)).toEqual({ input: 400, output: 100 });
  forecast.learn(requestOf(['a']), 's', usageOf(1_000, 20), { inputLength: 1_500, countCacheReads: false });
  expect(forecast.ofInput('m', 's', 19_500, 100)).toEqual({ input: 10_000, output: 20 });
});
