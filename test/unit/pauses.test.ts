import { expect, test } from 'vitest';
import { pauseKeyOf } from '../../src/contracts/pauses.js';
import { priorityKeyOf } from '../../src/contracts/priority.js';

test('a selector names one thing, or everything', () => {
  expect(pauseKeyOf({})).toEqual({ kind: 'all', value: '' });
  expect(pauseKeyOf({ tenant: 'acme' })).toEqual({ kind: 'tenant', value: 'acme' });
  expect(pauseKeyOf({ chain: 'c' })).toEqual({ kind: 'chain', value: 'c' });
  expect(pauseKeyOf({ lane: 'fast' })).toEqual({ kind: 'lane', value: 'fast' });
  expect(pauseKeyOf({ model: '' })).toEqual({ kind: 'model', value: '' });
});

test('a selector of two things is none', () => {
  expect(pauseKeyOf({ tenant: 'acme', lane: 'fast' })).toBeUndefined();
});

test('what has been begun comes before what is new, within its class', () => {
  const keys = (['high', 'normal', 'low'] as const).flatMap((priority) => [
    priorityKeyOf(priority, true),
    priorityKeyOf(priority, false),
  ]);
  expect(keys).toEqual([1, 1, 2, 3, 4, 5]);
});
