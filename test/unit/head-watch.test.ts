import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HeadWatch } from '../../src/client/head-watch.js';
import type { ChainHead } from '../../src/store/chains.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the watch over chains that are waited for', () => {
  it('asks for all of them at once, when the one with the least patience is due', async () => {
    const asked: (readonly string[])[] = [];
    const watch = new HeadWatch(async (ids) => {
      asked.push(ids);
      return ids.filter((id) => id !== 'gone').map((id) => ({ id }) as ChainHead);
    });
    const looks = Promise.all([watch.look('a', 100), watch.look('b', 10), watch.look('a', 50), watch.look('gone', 90)]);
    await vi.advanceTimersByTimeAsync(9);
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toEqual([['a', 'b', 'gone']]);
    expect(await looks).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'a' }, undefined]);
    const later = watch.look('a', 100);
    await vi.advanceTimersByTimeAsync(100);
    expect(await later).toEqual({ id: 'a' });
    expect(asked).toHaveLength(2);
  });

  it('takes more time between two looks when hundreds wait', async () => {
    const read = vi.fn().mockResolvedValue([]);
    const watch = new HeadWatch(read);
    const all = Promise.all(Array.from({ length: 400 }, (_, at) => watch.look(`${at}`, 120)));
    const hurried = watch.look('hurried', 10);
    await vi.advanceTimersByTimeAsync(99);
    expect(read).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(read).toHaveBeenCalledTimes(1);
    await Promise.all([all, hurried]);
  });

  it('tells everybody who waits when the store is away, and asks again for those who come back', async () => {
    const read = vi
      .fn()
      .mockRejectedValueOnce(new Error('away'))
      .mockResolvedValue([{ id: 'a' }]);
    const watch = new HeadWatch(read);
    const looks = Promise.allSettled([watch.look('a', 10), watch.look('b', 10)]);
    await vi.advanceTimersByTimeAsync(10);
    expect((await looks).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const again = watch.look('a', 10);
    await vi.advanceTimersByTimeAsync(10);
    expect(await again).toEqual({ id: 'a' });
  });
});
