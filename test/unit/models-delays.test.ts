import { describe, expect, test } from 'vitest';
import { DEFAULT_LANE_POLICIES, MAX_RETRY_DELAY_MS } from '../../src/contracts/lanes.js';
import { MAX_RETRY_AFTER_MS, parseRetryAfterMs } from '../../src/models/retry-after.js';
import { retryDelayMs } from '../../src/models/retry-delay.js';

const { fast, heavy } = DEFAULT_LANE_POLICIES;
const least = () => 0;
const most = () => 0.999_999;

describe('retryDelayMs', () => {
  test('doubles from the first delay of the lane', () => {
    expect([1, 2, 3].map((failures) => retryDelayMs(fast, failures, undefined, least))).toEqual([1_000, 2_000, 4_000]);
    expect([1, 2].map((failures) => retryDelayMs(heavy, failures, undefined, least))).toEqual([10_000, 20_000]);
  });

  test('stays within the cap, however often it failed', () => {
    for (const failures of [3, 10, 1_000, 5_000]) {
      expect(retryDelayMs(heavy, failures, undefined, least)).toBe(MAX_RETRY_DELAY_MS);
    }
  });

  test('is shortened at random by up to a quarter', () => {
    expect(retryDelayMs(heavy, 1, undefined, () => 0.5)).toBe(8_750);
    expect(retryDelayMs(heavy, 1, undefined, most)).toBe(7_500);
  });

  test('is never shorter than what the provider asked for, even over the cap', () => {
    expect(retryDelayMs(fast, 1, 60_000, most)).toBe(60_000);
    expect(retryDelayMs(heavy, 1, 500, most)).toBe(7_500);
  });

  test('takes a count below one for the first failure', () => {
    expect(retryDelayMs(fast, 0, undefined, least)).toBe(1_000);
  });

  test('is none in a lane without a first delay', () => {
    expect(retryDelayMs({ initialDelayMs: 0 }, 2_000, undefined, least)).toBe(0);
  });
});

describe('parseRetryAfterMs', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');

  test.each<[Record<string, string>, number | undefined]>([
    [{ 'retry-after': '7' }, 7_000],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': '1.5' }, 1_500],
    [{ 'retry-after-ms': '250' }, 250],
    [{ 'retry-after-ms': '250', 'retry-after': '7' }, 250],
    [{ 'retry-after-ms': 'soon', 'retry-after': '7' }, 7_000],
    [{ 'retry-after': 'Sat, 21 Nov 2026 12:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Sat, 21 Nov 2026 11:00:00 GMT' }, 0],
    [{ 'retry-after': '864000' }, MAX_RETRY_AFTER_MS],
    [{ 'retry-after': 'Mon, 21 Nov 2033 12:00:00 GMT' }, MAX_RETRY_AFTER_MS],
    [{ 'retry-after': '-5' }, undefined],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '' }, undefined],
    [{}, undefined],
  ])('reads %j', (headers, expected) => {
    expect(parseRetryAfterMs(new Headers(headers), now)).toBe(expected);
  });

  test('knows nothing without headers', () => {
    expect(parseRetryAfterMs(undefined)).toBeUndefined();
  });
});
