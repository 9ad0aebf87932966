import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { QuotaGate, QuotaWaitError } from '../../src/admission/quota-gate.js';
import type { Priority } from '../../src/contracts/priority.js';

const LIMITS = { requestsPerMinute: 60, tokensPerMinute: 6_000 };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function reserve(
  gate: QuotaGate,
  tokens: number,
  options: { priority?: Priority; signal?: AbortSignal; maxWaitMs?: number } = {},
) {
  return gate.reserve({
    tokens,
    priority: options.priority ?? 'normal',
    maxWaitMs: options.maxWaitMs ?? 120_000,
    signal: options.signal ?? new AbortController().signal,
  });
}

describe('a quota gate', () => {
  test('is full at the start, and then admits at the rate of its tokens', async () => {
    const gate = new QuotaGate(LIMITS);
    await reserve(gate, 6_000);
    const admitted = vi.fn();
    void reserve(gate, 1_000).then(admitted);
    await vi.advanceTimersByTimeAsync(9_900);
    expect(admitted).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(200);
    expect(admitted).toHaveBeenCalledOnce();
  });

  test('counts requests as well as tokens', async () => {
    const gate = new QuotaGate({ requestsPerMinute: 2, tokensPerMinute: 1_000_000 });
    await reserve(gate, 1);
    await reserve(gate, 1);
    const admitted = vi.fn();
    void reserve(gate, 1).then(admitted);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(admitted).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1_100);
    expect(admitted).toHaveBeenCalledOnce();
  });

  test('serves the higher class first and keeps the order of arrival within a class', async () => {
    const gate = new QuotaGate(LIMITS);
    await reserve(gate, 6_000);
    const order: string[] = [];
    for (const [name, priority] of [
      ['low', 'low'],
      ['normal 1', 'normal'],
      ['high', 'high'],
      ['normal 2', 'normal'],
    ] as const) {
      void reserve(gate, 100, { priority }).then(() => order.push(name));
    }
    await vi.advanceTimersByTimeAsync(10_000);
    expect(order).toEqual(['high', 'normal 1', 'normal 2', 'low']);
  });

  test('does not let a small call overtake a large one of its class', async () => {
    const gate = new QuotaGate(LIMITS);
    await reserve(gate, 6_000);
    const order: string[] = [];
    void reserve(gate, 3_000).then(() => order.push('large'));
    void reserve(gate, 10).then(() => order.push('small'));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(order).toEqual([]);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(order).toEqual(['large', 'small']);
  });

  test('gives back what was reserved and not used', async () => {
    const gate = new QuotaGate(LIMITS);
    const reservation = await reserve(gate, 6_000);
    reservation.settle(1_000);
    reservation.settle(0);
    const admitted = vi.fn();
    void reserve(gate, 5_000).then(admitted);
    void reserve(gate, 5_000).then(admitted);
    await vi.advanceTimersByTimeAsync(1);
    expect(admitted).toHaveBeenCalledOnce();
  });

  test('lets in a call larger than its bucket once it is full, and pays the debt off', async () => {
    const gate = new QuotaGate(LIMITS);
    await reserve(gate, 12_000);
    const admitted = vi.fn();
    void reserve(gate, 100).then(admitted);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(admitted).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(admitted).toHaveBeenCalledOnce();
  });

  test('closes for as long as the provider asks', async () => {
    const gate = new QuotaGate(LIMITS);
    gate.close(5_000);
    const admitted = vi.fn();
    void reserve(gate, 10).then(admitted);
    await vi.advanceTimersByTimeAsync(4_900);
    expect(admitted).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(200);
    expect(admitted).toHaveBeenCalledOnce();
  });

  test('sends away who waits too long behind others, with the time until it should come back', async () => {
    const gate = new QuotaGate(LIMITS);
    await reserve(gate, 6_000);
    const first = vi.fn();
    void reserve(gate, 2_000).then(first);
    const failure = reserve(gate, 3_000, { maxWaitMs: 10_000 }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(10_000);
    const error = await failure;
    expect(error).toBeInstanceOf(QuotaWaitError);
    // 5,000 tokens are to come before its turn, 1,000 have.
    expect((error as QuotaWaitError).retryAfterMs).toBeCloseTo(40_000, -2);
  });

  test('never sends away the first in line, or a large call would always be overtaken', async () => {
    const gate = new QuotaGate(LIMITS);
    await reserve(gate, 6_000);
    const admitted = vi.fn();
    void reserve(gate, 6_000, { maxWaitMs: 10_000 }).then(admitted);
    await vi.advanceTimersByTimeAsync(59_900);
    expect(admitted).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(200);
    expect(admitted).toHaveBeenCalledOnce();
  });

  test('forgets a waiter that is cancelled, and serves those behind it', async () => {
    const gate = new QuotaGate(LIMITS);
    await reserve(gate, 6_000);
    const abort = new AbortController();
    const cancelled = reserve(gate, 6_000, { signal: abort.signal }).catch((error: unknown) => error);
    const admitted = vi.fn();
    void reserve(gate, 100).then(admitted);
    abort.abort(new Error('cancelled'));
    expect(await cancelled).toEqual(new Error('cancelled'));
    await vi.advanceTimersByTimeAsync(1_100);
    expect(admitted).toHaveBeenCalledOnce();
  });
});
