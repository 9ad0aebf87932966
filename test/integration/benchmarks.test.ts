import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cost } from '../../bench/cost.js';
import { makeDocument } from '../../bench/documents.js';
import { Lab } from '../../bench/lab.js';
import { MEASUREMENTS } from '../../bench/measurements.js';
import { renewed } from '../../bench/report.js';
import { countTokens } from '../../src/embedded/simulated-claude/tokens.js';

let lab: Lab;

beforeAll(async () => {
  lab = await Lab.open(() => {}, { keepWorkers: true });
});
afterAll(() => lab?.close());

describe('the benchmarks, in their short form', () => {
  it.each(Object.entries(MEASUREMENTS))(
    '%s measures both sides and keeps what is not about time',
    async (_name, one) => {
      const { claims, tables } = await one.run(lab, 'short');
      expect(claims.filter(({ kept, timed }) => !kept && !timed)).toEqual([]);
      expect(tables.length).toBeGreaterThan(0);
      for (const { head, rows } of tables) {
        expect(rows.length).toBeGreaterThan(0);
        for (const row of rows) {
          expect(row).toHaveLength(head.length);
          expect(row.join()).not.toMatch(/NaN|undefined/);
        }
      }
    },
  );

  it('make the same requests on both sides', async () => {
    const input = { document: makeDocument(500), steps: 3 };
    const hashes = async (side: 'bare' | 'holdfast') => {
      await lab.simulator.reset();
      await lab.run(side, input);
      const calls = await lab.simulator.calls();
      return calls.map(({ requestHash, stream, usage }) => ({ requestHash, stream, usage }));
    };
    const [bare, holdfast] = await lab.withWorkers(async () => [await hashes('bare'), await hashes('holdfast')]);
    expect(bare).toHaveLength(3);
    expect(holdfast).toEqual(bare);
  });

  it('see it when the cache saves nothing', async () => {
    // The two bills of the measurement, of the same chain: without a difference the claim must fail.
    const same = Object.create(lab, {
      run: { value: (side: 'holdfast', input: never) => lab.run(side, input, 'uncachedChain') },
    }) as Lab;
    const { claims } = await cost.run(same, 'short');
    expect(claims.map(({ kept }) => kept)).toEqual([false, true]);
  });
});

describe('a document of the benchmarks', () => {
  it.each([500, 20_000])('has about %i tokens and is like no other', (tokens) => {
    const [one, other] = [makeDocument(tokens), makeDocument(tokens)];
    expect(Math.abs(countTokens(one) / tokens - 1)).toBeLessThan(0.05);
    expect(one.slice(0, 20)).not.toBe(other.slice(0, 20));
  });
});

describe('the page', () => {
  it('is renewed in the named part only', () => {
    const page = 'a\n<!-- bench one -->\nold\n<!-- end -->\nb\n<!-- bench two -->\nkept\n<!-- end -->\n';
    expect(renewed(page, 'one', 'new')).toBe(page.replace('old', 'new'));
    expect(() => renewed(page, 'three', 'new')).toThrow('no part');
  });
});
