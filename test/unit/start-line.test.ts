import { expect, test } from 'vitest';
import { StartLine } from '../../src/client/start-line.js';
import type { Priority } from '../../src/contracts/priority.js';

test('starts urgent chains first, and within a class those of tenants in turn', async () => {
  const line = new StartLine();
  const order: string[] = [];
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  // These are on the way, so that all others wait.
  const before = ['1', '2', '3'].map((tenant) => line.add({ tenant, priority: 'low' }, () => opened));
  const names: [string, Priority][] = [
    ...['a', 'a', 'a', 'b', 'c', 'b'].map((tenant): [string, Priority] => [tenant, 'normal']),
    ['a', 'high'],
  ];
  const after = names.map(([tenant, priority]) =>
    line.add({ tenant, priority }, async () => void order.push(`${tenant} ${priority}`)),
  );
  open();
  await Promise.all([...before, ...after]);
  expect(order).toEqual(['a high', ...['a', 'b', 'c', 'a', 'b', 'a'].map((tenant) => `${tenant} normal`)]);
});

test('gives a failed start to who asked for it, and goes on', async () => {
  const line = new StartLine();
  const chain = { tenant: 'a', priority: 'normal' } as const;
  await expect(line.add(chain, () => Promise.reject(new Error('away')))).rejects.toThrow('away');
  expect(await line.add(chain, async () => 'started')).toBe('started');
});
