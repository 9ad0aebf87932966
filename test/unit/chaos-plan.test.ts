import { describe, expect, test } from 'vitest';
import { ACTIONS, planChaos, planLines, TARGETS } from '../../chaos/plan.js';

const FULL = { seed: 1, seconds: 300, chains: 1_000 };

describe('the plan of a chaos run', () => {
  test('is the same for the same seed, and another one for another', () => {
    expect(planChaos(FULL)).toEqual(planChaos(FULL));
    expect(planChaos({ ...FULL, seed: 2 })).not.toEqual({ ...planChaos(FULL), seed: 2 });
    expect(planLines(planChaos(FULL))).not.toEqual(planLines(planChaos({ ...FULL, seed: 2 })));
  });

  test.each([1, 2, 3, 4])('kills, pauses and cuts off everything, one thing at a time for each (seed %i)', (seed) => {
    const { disturbances, seconds } = planChaos({ ...FULL, seed });
    const kinds = new Set(disturbances.map(({ action, target }) => `${action} ${target}`));
    expect(kinds.size).toBe(ACTIONS.length * TARGETS.length);
    for (const target of TARGETS) {
      const own = disturbances.filter((one) => one.target === target);
      const overlaps = own.filter(({ atMs }, index) => {
        const before = own[index - 1];
        return before !== undefined && before.atMs + before.forMs >= atMs;
      });
      expect(overlaps).toEqual([]);
    }
    for (const { action, atMs, forMs } of disturbances) {
      expect(forMs > 0).toBe(action !== 'kill');
      expect(atMs + forMs).toBeLessThanOrEqual(seconds * 1_000);
    }
  });

  test('has chains of all kinds, each under a name of its own, within the time', () => {
    const { plannedChains, seconds } = planChaos(FULL);
    expect(new Set(plannedChains.map(({ name }) => name)).size).toBe(FULL.chains);
    expect(plannedChains.every(({ atMs }) => atMs >= 0 && atMs <= seconds * 1_000)).toBe(true);
    expect(new Set(plannedChains.map(({ approval }) => approval))).toEqual(new Set(['approve', 'reject', null]));
    expect(new Set(plannedChains.map(({ details }) => details))).toEqual(new Set([0, 1, 2]));
    expect(plannedChains.some(({ cancelAfterMs }) => cancelAfterMs !== null)).toBe(true);
    expect(plannedChains.some(({ retriedEarly }) => !retriedEarly)).toBe(true);
  });

  test('changes the faults of the provider, and makes one step fail for everybody for a while', () => {
    const { phases } = planChaos(FULL);
    expect(new Set(phases.map(({ rules }) => JSON.stringify(rules))).size).toBe(phases.length);
    expect(phases.filter(({ rules }) => rules.some(({ id }) => id === 'poison'))).toHaveLength(1);
  });

  test.each([{ seed: 0 }, { seconds: 1.5 }, { chains: Number.NaN }])('is refused with %j', (wrong) => {
    expect(() => planChaos({ ...FULL, ...wrong })).toThrow('expected a whole number from 1');
  });
});
