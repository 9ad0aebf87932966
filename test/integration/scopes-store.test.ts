import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Priority } from '../../src/contracts/priority.js';
import type { ScopeKey } from '../../src/contracts/scopes.js';
import { closeChain, insertChain, markStarted } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { migrate } from '../../src/store/migrate.js';
import {
  claimScopes,
  hasChainScopes,
  listScopeWaits,
  releaseScopes,
  type ScopeClaim,
  sweepScopes,
  takeUntoldChains,
} from '../../src/store/scopes.js';
import { createDatabase } from '../support/database.js';

let store: Store;

beforeAll(async () => {
  store = openStore(await createDatabase(), { maxConnections: 8 });
  await migrate(store);
});
afterAll(() => store?.close());
beforeEach(async () => {
  await sql`TRUNCATE scope_claim, scope_claim_key, scope_admission, chain CASCADE`.execute(store.db);
});

const atMost = (key: string, atOnce = 1): ScopeKey => ({ key, label: key, atOnce });

async function submit(priority: Priority = 'normal'): Promise<string> {
  const fields = { type: 'anything', tenant: 'acme', contentHash: randomUUID(), input: '{}' };
  const { row } = await insertChain(store, { ...fields, priority });
  await markStarted(store, row.id, 'a run');
  return row.id;
}

const ofStep = (chainId: string, id: string, keys: ScopeKey[], priority: Priority = 'normal'): ScopeClaim => ({
  chainId,
  call: { id, step: 'look', number: 1 },
  priority,
  keys,
});
const ofChain = (chainId: string, keys: ScopeKey[]): ScopeClaim => ({ chainId, priority: 'normal', keys });

const untold = () => takeUntoldChains(store, 'default', 100, { fresh: true });

describe('a claim', () => {
  test('goes in when there is room for all of its keys, and takes none before', async () => {
    const [one, two, three] = [await submit(), await submit(), await submit()];
    expect(await claimScopes(store, ofStep(one, 'x', [atMost('a')]))).toBe(true);
    expect(await claimScopes(store, ofStep(two, 'x', [atMost('a'), atMost('b')]))).toBe(false);
    // Nobody has b, but two was there before: it would else wait for whoever comes next.
    expect(await claimScopes(store, ofStep(three, 'x', [atMost('b')]))).toBe(false);
    expect(await listScopeWaits(store, two)).toEqual([
      { step: 'look', call: 1, cause: 'scope a: 1 of 1 in use, 0 before it' },
    ]);
    expect(await listScopeWaits(store, three)).toMatchObject([{ cause: 'scope b: 0 of 1 in use, 1 before it' }]);
    await releaseScopes(store, { chainId: one, call: { id: 'x' } });
    expect(await untold()).toEqual([two]);
    await releaseScopes(store, { chainId: two, call: { id: 'x' } });
    expect(await untold()).toEqual([three]);
    expect(await untold()).toEqual([]);
  });

  test('stands in line by class, and then by the arrival of its chain, whenever it comes', async () => {
    const [first, second, third, low] = [await submit(), await submit(), await submit(), await submit('low')];
    const holder = await submit();
    await claimScopes(store, ofStep(holder, 'x', [atMost('a')]));
    await claimScopes(store, ofStep(low, 'x', [atMost('a')], 'low'));
    for (const id of [third, first, second]) await claimScopes(store, ofStep(id, 'x', [atMost('a')]));
    await claimScopes(store, ofStep(third, 'urgent', [atMost('a')], 'high'));
    await releaseScopes(store, { chainId: holder, call: { id: 'x' } });
    const order: string[] = [];
    for (let [id] = await untold(); id !== undefined; [id] = await untold()) {
      order.push(id);
      await releaseScopes(store, { chainId: id, call: { id: order.length === 1 ? 'urgent' : 'x' } });
    }
    expect(order).toEqual([third, first, second, third, low]);
  });

  test('is one however often it is made, and lets others pass when it is withdrawn', async () => {
    const [one, two, three] = [await submit(), await submit(), await submit()];
    expect(await claimScopes(store, ofStep(one, 'x', [atMost('a')]))).toBe(true);
    expect(await claimScopes(store, ofStep(one, 'x', [atMost('a')]))).toBe(true);
    expect(await claimScopes(store, ofStep(two, 'x', [atMost('a'), atMost('b')]))).toBe(false);
    expect(await claimScopes(store, ofStep(two, 'x', [atMost('a'), atMost('b')]))).toBe(false);
    expect(await claimScopes(store, ofStep(three, 'x', [atMost('b')]))).toBe(false);
    await closeChain(store, two, { state: 'cancelled' });
    expect(await untold()).toEqual([three]);
  });

  test('of a step asks for nothing that its chain or the parent of its chain has', async () => {
    const [parent, child, other] = [await submit(), await submit(), await submit()];
    await claimScopes(store, ofChain(parent, [atMost('a')]));
    expect(await claimScopes(store, ofStep(parent, 'x', [atMost('a')]))).toBe(true);
    expect(await claimScopes(store, { ...ofChain(child, [atMost('a')]), parentId: parent })).toBe(true);
    expect(await claimScopes(store, ofStep(other, 'x', [atMost('a')]))).toBe(false);
    expect(await hasChainScopes(store, parent)).toBe(true);
    await releaseScopes(store, { chainId: parent });
    expect(await untold()).toEqual([other]);
    expect(await hasChainScopes(store, parent)).toBe(false);
  });
});

describe('a rate', () => {
  const slow: ScopeKey = { key: 'mail', label: 'mail', rateCount: 3, rateMs: 400 };

  test('lets in so many in any period, whether they have ended or not, and the others when their time has come', async () => {
    const ids = await Promise.all(Array.from({ length: 10 }, () => submit()));
    const claims = ids.map((id) => ofStep(id, 'x', [slow]));
    const first = await Promise.all(claims.map((claim) => claimScopes(store, claim)));
    expect(first.filter(Boolean)).toHaveLength(3);
    for (const id of ids.filter((_, index) => first[index])) {
      await releaseScopes(store, { chainId: id, call: { id: 'x' } });
    }
    expect(await untold()).toEqual([]);
    const waiting = ids[first.indexOf(false)] as string;
    expect((await listScopeWaits(store, waiting))[0]?.cause).toMatch(/^scope mail: 3 of 3 in 0.4 s, \d before it$/);
    // Asked for again, not swept: a sweep deletes what no longer counts, and here all of it is looked at.
    await expect
      .poll(async () => (await Promise.all(claims.map((claim) => claimScopes(store, claim)))).every(Boolean), {
        timeout: 20_000,
      })
      .toBe(true);
    const { rows } = await sql<{ most: number }>`
      SELECT max((SELECT count(*) FROM scope_admission other
        WHERE other.admitted_at <= a.admitted_at AND other.admitted_at > a.admitted_at - interval '400 ms')) AS most
      FROM scope_admission a`.execute(store.db);
    expect(rows[0]?.most).toBe(3);
  });

  test('needs no release to go on: a sweep lets in whose time has come', async () => {
    const ids = await Promise.all(Array.from({ length: 5 }, () => submit()));
    for (const id of ids) await claimScopes(store, ofStep(id, 'x', [slow]));
    const told: string[] = [];
    await expect
      .poll(async () => {
        await sweepScopes(store, []);
        told.push(...(await untold()));
        return told.toSorted();
      })
      .toEqual(ids.slice(3).toSorted());
  });
});

describe('a sweep', () => {
  const late = (column: 'worker_lost_at' | 'admitted_at') =>
    sql`UPDATE scope_claim SET ${sql.ref(column)} = ${sql.ref(column)} - interval '61 seconds' WHERE ${sql.ref(column)} IS NOT NULL`.execute(
      store.db,
    );

  test("gives back a dead worker's permit, after it had time to be taken up again", async () => {
    const [one, two] = [await submit(), await submit()];
    const claim = ofStep(one, 'x', [atMost('a')]);
    await claimScopes(store, claim, { asked: true, worker: 7 });
    await claimScopes(store, ofStep(two, 'x', [atMost('a')]));
    expect(await sweepScopes(store, [])).toBe(0);
    await claimScopes(store, claim, { asked: true, worker: 8 });
    await late('worker_lost_at');
    expect(await sweepScopes(store, [8])).toBe(0);
    expect(await sweepScopes(store, [])).toBe(0);
    await late('worker_lost_at');
    expect(await sweepScopes(store, [])).toBe(1);
    expect(await untold()).toEqual([two]);
    // Its retry stands in line again.
    expect(await claimScopes(store, claim, { asked: true, worker: 9 })).toBe(false);
  });

  test('forgives a worker that was only seen as dead', async () => {
    const one = await submit();
    await claimScopes(store, ofStep(one, 'x', [atMost('a')]), { asked: true, worker: 7 });
    await sweepScopes(store, []);
    await sweepScopes(store, [7]);
    await late('worker_lost_at');
    expect(await sweepScopes(store, [7])).toBe(0);
    expect(await sweepScopes(store, [])).toBe(0);
  });

  test('lets others go on when a step that was let in is silent, and tells its chain again', async () => {
    const [one, two, three] = [await submit(), await submit(), await submit()];
    await claimScopes(store, ofStep(one, 'x', [atMost('a')]));
    await claimScopes(store, ofStep(two, 'x', [atMost('a')]));
    await claimScopes(store, ofStep(three, 'x', [atMost('a')]));
    await releaseScopes(store, { chainId: one, call: { id: 'x' } });
    expect(await untold()).toEqual([two]);
    await late('admitted_at');
    expect(await sweepScopes(store, [])).toBe(1);
    expect(await untold()).toEqual([three]);
    await sql`UPDATE scope_claim SET sent_at = sent_at - interval '1 hour'`.execute(store.db);
    expect((await takeUntoldChains(store, 'default', 100, { fresh: false })).toSorted()).toEqual(
      [two, three].toSorted(),
    );
    expect(await claimScopes(store, ofStep(two, 'x', [atMost('a')]))).toBe(false);
    await releaseScopes(store, { chainId: three, call: { id: 'x' } });
    expect(await claimScopes(store, ofStep(two, 'x', [atMost('a')]))).toBe(true);
  });

  test('never takes the scope of a chain, however silent it is, and lets go that of one which has ended', async () => {
    const [one, two] = [await submit(), await submit()];
    await claimScopes(store, ofChain(one, [atMost('a')]), { asked: false });
    await claimScopes(store, ofChain(two, [atMost('a')]));
    await late('admitted_at');
    expect(await sweepScopes(store, [])).toBe(0);
    await sql`UPDATE chain SET closed_at = now() WHERE id = ${one}`.execute(store.db);
    expect(await sweepScopes(store, [])).toBe(1);
    expect(await untold()).toEqual([two]);
  });
});

describe('with many claims and releases at once', () => {
  /** Small numbers from a seed, so that a failure can be repeated. */
  function numbers(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  }
  const KEYS = [atMost('a'), atMost('b'), atMost('c', 2), atMost('d', 3), atMost('e')];
  const PRIORITIES: readonly Priority[] = ['high', 'normal', 'normal', 'low'];

  /** What must never be seen, each in one statement and so at one moment. */
  async function flaws(): Promise<unknown[]> {
    const { rows } = await sql`
      SELECT 'too many' AS flaw, key AS what FROM scope_claim_key WHERE state = 'admitted'
      GROUP BY key, at_once HAVING count(*) > at_once
      UNION ALL SELECT 'some of its keys', claim_id::text FROM scope_claim_key GROUP BY claim_id
      HAVING count(DISTINCT state) > 1
      UNION ALL SELECT 'overtaken', early.claim_id || ' by ' || late.claim_id
      FROM scope_claim_key early JOIN scope_claim_key late USING (key)
      JOIN scope_claim waits ON waits.id = early.claim_id JOIN scope_claim went ON went.id = late.claim_id
      WHERE early.state = 'waiting' AND late.state = 'admitted' AND went.admitted_at > waits.claimed_at
        AND (early.rank, early.arrival, early.claim_id) < (late.rank, late.arrival, late.claim_id)
      UNION ALL SELECT 'forgotten', claim.id::text FROM scope_claim claim WHERE claim.state = 'waiting' AND NOT EXISTS (
        SELECT FROM scope_claim_key mine JOIN scope_claim_key other USING (key) WHERE mine.claim_id = claim.id AND (
          (other.state = 'waiting' AND (other.rank, other.arrival, other.claim_id) < (mine.rank, mine.arrival, mine.claim_id))
          OR mine.at_once <= (SELECT count(*) FROM scope_claim_key h WHERE h.key = mine.key AND h.state = 'admitted')))`.execute(
      store.db,
    );
    return rows;
  }

  test.each([1, 2, 3])(
    'never too many go in, all or none, in order, and nobody is forgotten (seed %i)',
    async (seed) => {
      const chains = await Promise.all(Array.from({ length: 12 }, () => submit()));
      const all: ScopeClaim[] = [];
      let most = 0;
      const connection = async (number: number): Promise<void> => {
        const next = numbers(seed * 100 + number);
        const open: ScopeClaim[] = [];
        for (let turn = 0; turn < 60; turn += 1) {
          if (open.length > 0 && next(5) < 2) {
            const [claim] = open.splice(next(open.length), 1) as [ScopeClaim];
            all.splice(all.indexOf(claim), 1);
            await releaseScopes(store, claim as Required<ScopeClaim>);
          } else {
            const keys = KEYS.filter(() => next(3) === 0);
            if (keys.length === 0) continue;
            const chain = chains[next(chains.length)] as string;
            const claim = ofStep(chain, randomUUID(), keys, PRIORITIES[next(PRIORITIES.length)] as Priority);
            open.push(claim);
            all.push(claim);
            await claimScopes(store, claim);
          }
          expect(await flaws()).toEqual([]);
          most = Math.max(most, all.length);
        }
      };
      await Promise.all(Array.from({ length: 6 }, (_, number) => connection(number)));
      expect(most).toBeGreaterThan(20);
      // Whoever has something gives it back, until nobody waits any more.
      for (let left = all; left.length > 0; ) {
        const admitted = await store.db
          .selectFrom('scope_claim')
          .select('call')
          .where('state', '=', 'admitted')
          .execute();
        expect(admitted.length).toBeGreaterThan(0);
        const ended = new Set(admitted.map(({ call }) => call));
        await Promise.all(
          left
            .filter(({ call }) => ended.has(call?.id as string))
            .map((claim) => releaseScopes(store, claim as Required<ScopeClaim>)),
        );
        left = left.filter(({ call }) => !ended.has(call?.id as string));
        expect(await flaws()).toEqual([]);
      }
      expect(await store.db.selectFrom('scope_claim_key').selectAll().execute()).toEqual([]);
    },
  );
});
