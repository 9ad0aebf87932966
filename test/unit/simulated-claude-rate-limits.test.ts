import { describe, expect, it } from 'vitest';
import { ApiError } from '../../src/embedded/simulated-claude/api-error.js';
import { checkLimits, RateLimits, TokenBucket } from '../../src/embedded/simulated-claude/rate-limits.js';

const START = Date.UTC(2026, 0, 1);

function refusal(act: () => void): ApiError {
  try {
    act();
  } catch (error) {
    if (error instanceof ApiError) return error;
  }
  throw new Error('expected a refusal');
}

describe('a bucket', () => {
  it('starts full, refills continuously and never overflows', () => {
    const bucket = new TokenBucket(60, 10, START);
    expect(bucket.read(START)).toMatchObject({ level: 10, capacity: 10, limitPerMinute: 60 });
    bucket.take(8, START);
    expect(bucket.waitMs(5, START)).toBe(3_000);
    expect(bucket.read(START + 500).level).toBeCloseTo(2.5);
    expect(bucket.read(START + 60_000)).toMatchObject({ level: 10, charged: 8 });
  });

  it('lets an amount over its capacity through when it is full, and then is in debt', () => {
    const bucket = new TokenBucket(60, 10, START);
    expect(bucket.waitMs(25, START)).toBe(0);
    bucket.take(25, START);
    expect(bucket.read(START).level).toBe(-15);
    expect(bucket.waitMs(1, START)).toBe(16_000);
  });

  it('loses what is above a new capacity and keeps the rest', () => {
    const bucket = new TokenBucket(60, 60, START);
    bucket.take(20, START);
    bucket.change(30, 60, START);
    expect(bucket.read(START).level).toBe(30);
    bucket.change(120, 60, START);
    expect(bucket.read(START).level).toBe(30);
    expect(bucket.read(START + 1_000).level).toBe(32);
  });

  it('does not run backwards with the clock', () => {
    const bucket = new TokenBucket(60, 10, START);
    bucket.take(5, START);
    expect(bucket.read(START - 10_000).level).toBe(5);
  });
});

describe('the limits of a model class', () => {
  it('name the limit that is furthest away, and when to come back', () => {
    const limits = new RateLimits({ requestsPerMinute: 60, inputTokensPerMinute: 600, burstSeconds: 10 });
    limits.admit('sonnet', 100, START);
    const error = refusal(() => limits.admit('sonnet', 25, START));
    expect(error).toMatchObject({ status: 429, type: 'rate_limit_error' });
    expect(error.message).toContain('600 input tokens per minute');
    expect(error.options.headers).toEqual({ 'retry-after': '3' });
    limits.admit('sonnet', 25, START + 2_500);
  });

  it('admit while the output bucket holds anything, and charge output as it is produced', () => {
    const limits = new RateLimits({ outputTokensPerMinute: 600, burstSeconds: 10 });
    limits.admit('sonnet', 1, START);
    limits.chargeOutput('sonnet', 250, START);
    expect(refusal(() => limits.admit('sonnet', 1, START)).message).toContain('output tokens');
    limits.admit('sonnet', 1, START + 15_100);
  });

  it('are separate for each class and can differ', () => {
    const limits = new RateLimits({
      requestsPerMinute: 1,
      burstSeconds: 60,
      groups: { haiku: { requestsPerMinute: 2 } },
    });
    limits.admit('sonnet', 1, START);
    refusal(() => limits.admit('sonnet', 1, START));
    limits.admit('haiku', 1, START);
    limits.admit('haiku', 1, START);
    expect(limits.read('sonnet', START)).toMatchObject({ refused: 1, requests: { charged: 1, level: 0 } });
  });

  it('charge a refused call only if told to', () => {
    const limits = new RateLimits({ requestsPerMinute: 60, burstSeconds: 1 });
    limits.admit('sonnet', 1, START);
    refusal(() => limits.admit('sonnet', 1, START));
    expect(limits.read('sonnet', START).requests.level).toBe(0);
    limits.change({ chargeRefused: true }, START);
    refusal(() => limits.admit('sonnet', 1, START));
    expect(limits.read('sonnet', START).requests.level).toBe(-1);
  });

  it('change live, keeping what is not named', () => {
    const limits = new RateLimits({ requestsPerMinute: 100, groups: { haiku: { requestsPerMinute: 7 } } });
    limits.admit('sonnet', 1, START);
    limits.change({ requestsPerMinute: 50, groups: { haiku: { burstSeconds: 5 } } }, START);
    expect(limits.read('sonnet', START).requests).toMatchObject({ limitPerMinute: 50, level: 50 });
    expect(limits.limits('haiku')).toMatchObject({
      requestsPerMinute: 7,
      burstSeconds: 5,
      inputTokensPerMinute: 450_000,
    });
  });

  it('never admit more than capacity and refill allow', () => {
    const limits = new RateLimits({ requestsPerMinute: 60_000, inputTokensPerMinute: 6_000, burstSeconds: 5 });
    let admitted = 0;
    for (let ms = 0; ms <= 30_000; ms += 10) {
      try {
        limits.admit('sonnet', 7, START + ms);
        admitted += 7;
      } catch {
        // Refused: that is what is being measured.
      }
    }
    expect(admitted).toBeLessThanOrEqual(500 + 3_000);
    expect(admitted).toBeGreaterThan(3_400);
  });

  it('tell limit, remaining and reset in headers, tokens by the tighter of the two', () => {
    const limits = new RateLimits({ inputTokensPerMinute: 6_000, outputTokensPerMinute: 600 });
    limits.admit('sonnet', 100, START);
    limits.chargeOutput('sonnet', 300, START);
    expect(limits.headers('sonnet', START)).toMatchObject({
      'anthropic-ratelimit-requests-limit': '1000',
      'anthropic-ratelimit-requests-remaining': '999',
      'anthropic-ratelimit-input-tokens-limit': '6000',
      'anthropic-ratelimit-input-tokens-remaining': '5900',
      'anthropic-ratelimit-input-tokens-reset': '2026-01-01T00:00:01Z',
      'anthropic-ratelimit-output-tokens-remaining': '300',
      'anthropic-ratelimit-output-tokens-reset': '2026-01-01T00:00:30Z',
      'anthropic-ratelimit-tokens-limit': '600',
      'anthropic-ratelimit-tokens-remaining': '300',
    });
    limits.change({ headers: false }, START);
    expect(limits.headers('sonnet', START)).toEqual({});
  });

  it('refuse nonsense and name it', () => {
    expect(() => checkLimits({ requestsPerMinute: -1 })).toThrow('limits.requestsPerMinute');
    expect(() => checkLimits({ rpm: 1 })).toThrow('limits.rpm');
    expect(() => checkLimits({ groups: { sonnet: { burstSeconds: 'x' } } })).toThrow('burstSeconds');
    expect(() => checkLimits(null)).toThrow('expected an object');
  });
});
