import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Link } from '../../chaos/link.js';
import {
  QuotaTooSmallError,
  QuotaWaitError,
  type Reservation,
  type ReserveOptions,
  SharedQuota,
} from '../../src/admission/shared-quota.js';
import type { Priority } from '../../src/contracts/priority.js';
import { DEFAULT_QUOTA, type QuotaLimits } from '../../src/contracts/quotas.js';
import { openStore, type Store } from '../../src/store/database.js';
import { migrate } from '../../src/store/migrate.js';
import {
  changeQuotaRank,
  claimQuota,
  closeQuota,
  dropDeadClaims,
  observeQuota,
  pollQuota,
  type QuotaClaim,
  readQuotaOutlook,
  settleQuota,
} from '../../src/store/quotas.js';
import { createDatabase } from '../support/database.js';

let url: string;
let store: Store;
let groups = 0;

beforeAll(async () => {
  url = await createDatabase();
  store = openStore(url);
  await migrate(store);
});
afterAll(() => store.close());

function failOn(message: string): void {
  throw new Error(message);
}

/** A group that nobody else uses, and the parts of several workers in it. */
async function group(limits: Partial<QuotaLimits>, workers = 1): Promise<{ name: string; parts: SharedQuota[] }> {
  const name = `group-${++groups}`;
  const parts = Array.from({ length: workers }, (_, at) => new SharedQuota(store, at + 1, failOn));
  for (const part of parts) await part.configure(name, { ...DEFAULT_QUOTA, ...limits });
  return { name, parts };
}

function call(group: string, overrides: Partial<ReserveOptions> = {}): ReserveOptions {
  return {
    group,
    chain: 'chain',
    step: 'step',
    call: 1,
    priority: 'normal',
    ownPriority: false,
    begun: false,
    input: 1,
    output: 1,
    maxWaitMs: 60_000,
    signal: new AbortController().signal,
    ...overrides,
  };
}

interface Level {
  readonly requests_level: number;
  readonly input_level: number;
  readonly output_level: number;
  readonly requests_per_minute: number;
  readonly input_per_minute: number;
  readonly output_per_minute: number;
}

async function levels(name: string): Promise<Level> {
  const { rows } = await store.pool.query<Level>('SELECT * FROM quota_group WHERE name = $1', [name]);
  return rows[0] as Level;
}

/** Lets time pass for a group alone: as if it had been filled so many milliseconds earlier. */
async function pass(name: string, ms: number): Promise<void> {
  await store.pool.query(
    `UPDATE quota_group SET refilled_at = refilled_at - $2 * interval '1 millisecond',
       closed_until = closed_until - $2 * interval '1 millisecond' WHERE name = $1`,
    [name, ms],
  );
}

async function place(
  name: string,
  rank: number,
  use = { input: 1, output: 1 },
  worker = 1,
  ownPriority = false,
  begun = false,
): Promise<QuotaClaim> {
  const claim = await claimQuota(store, {
    ...use,
    group: name,
    chain: `chain-${rank}`,
    step: 'step',
    call: 1,
    worker,
    rank,
    ownPriority,
    begun,
  });
  if ('tooLarge' in claim) throw new Error('too large');
  return claim;
}

/** A group that has nothing, and into which nothing flows but by {@link inflow}. */
async function emptied(limits: Partial<QuotaLimits>): Promise<string> {
  const { name } = await group(limits);
  await store.pool.query(
    'UPDATE quota_group SET requests_level = 0, input_level = 0, output_level = 0 WHERE name = $1',
    [name],
  );
  await stopTime(name);
  return name;
}

async function stopTime(name: string): Promise<void> {
  await store.pool.query(`UPDATE quota_group SET refilled_at = clock_timestamp() + interval '1 hour' WHERE name = $1`, [
    name,
  ]);
}

/** Lets so many milliseconds flow into a group whose time stands still; returns which of `waiting` are in then. */
async function inflow(name: string, ms: number, waiting: readonly QuotaClaim[]): Promise<readonly number[]> {
  await store.pool.query(
    `UPDATE quota_group SET refilled_at = clock_timestamp() - $2 * interval '1 millisecond' WHERE name = $1`,
    [name, ms],
  );
  const ids = waiting.map(({ id }) => id);
  const { admitted } = await pollQuota(store, name, ids);
  await stopTime(name);
  return ids.filter((id) => admitted.includes(id));
}

async function countClaims(name: string): Promise<number | null> {
  return (await store.pool.query('SELECT FROM quota_claim WHERE quota_group = $1', [name])).rowCount;
}

describe('order', () => {
  test('is by class, then arrival, over all workers', async () => {
    const name = await emptied({ requestsPerMinute: 60, burstSeconds: 60 });
    const low = await place(name, 2);
    const normal = await place(name, 1);
    const high = await place(name, 0, undefined, 2);
    const later = await place(name, 1);
    const all = [low, normal, high, later];
    expect(await inflow(name, 1_001, all)).toEqual([high.id]);
    expect(await inflow(name, 1_001, all)).toEqual([normal.id, high.id]);
    expect(await inflow(name, 1_001, all)).toEqual([normal.id, high.id, later.id]);
    expect(await inflow(name, 1_001, all)).toEqual([low.id, normal.id, high.id, later.id]);
  });

  test('within a class finishes first what has begun', async () => {
    const name = await emptied({ requestsPerMinute: 60, burstSeconds: 60 });
    const firstCall = await place(name, 1);
    const lowBegun = await place(name, 2, undefined, 1, false, true);
    const [second, third] = [
      await place(name, 1, undefined, 1, false, true),
      await place(name, 1, undefined, 2, false, true),
    ];
    const all = [firstCall, lowBegun, second, third];
    expect(await inflow(name, 1_001, all)).toEqual([second.id]);
    expect(await inflow(name, 2_001, all)).toEqual([firstCall.id, second.id, third.id]);
  });

  test('changes with the class of the chain, unless the step states its own', async () => {
    const name = await emptied({ requestsPerMinute: 60, burstSeconds: 60 });
    const [first, own, second] = [await place(name, 1), await place(name, 2, undefined, 1, true), await place(name, 2)];
    await changeQuotaRank(store, 'chain-2', 0);
    expect(await inflow(name, 1_001, [first, own, second])).toEqual([second.id]);
    expect(await inflow(name, 1_001, [first, own, second])).toEqual([first.id, second.id]);
  });

  test('a call too large for what is there is not overtaken within its class, but by a higher one', async () => {
    const name = await emptied({ requestsPerMinute: 6_000, inputTokensPerMinute: 60_000, burstSeconds: 60 });
    const large = await place(name, 1, { input: 10_000, output: 1 });
    const small = await place(name, 1, { input: 10, output: 1 });
    const high = await place(name, 0, { input: 10, output: 1 });
    expect(await inflow(name, 5_000, [large, small, high])).toEqual([high.id]);
    expect(await inflow(name, 6_000, [large, small, high])).toEqual([large.id, small.id, high.id]);
  });

  test('passes over the waiters of a worker that does not look after them', async () => {
    const name = await emptied({ requestsPerMinute: 60 });
    const dead = await place(name, 0, undefined, 7);
    const alive = await place(name, 1);
    await store.pool.query(`UPDATE quota_claim SET seen_at = seen_at - interval '4 seconds' WHERE id = $1`, [dead.id]);
    expect(await inflow(name, 1_001, [alive])).toEqual([alive.id]);
  });

  test('whoever waits gives way to urgent work that comes later, and stays where it came first', async () => {
    const name = await emptied({ requestsPerMinute: 60 });
    const before = await place(name, 1);
    const high = await place(name, 0);
    const after = await place(name, 1);
    const poll = () => pollQuota(store, name, [before.id, high.id, after.id]);
    expect((await poll()).givingWay).toEqual([before.id]);
    await store.pool.query(`UPDATE quota_claim SET created_at = created_at - interval '2 seconds'`);
    expect((await poll()).givingWay).toEqual([]);
  });

  test('a call that gives way is sent back to its queue at once, and leaves no place behind', async () => {
    const { name, parts } = await group({ requestsPerMinute: 60 }, 2);
    const [one, other] = parts as [SharedQuota, SharedQuota];
    await one.close(name, 60_000);
    const normal = one.reserve(call(name));
    normal.catch(() => {});
    await expect.poll(() => countClaims(name), { timeout: 20_000 }).toBe(1);
    const abort = new AbortController();
    const high = other.reserve(call(name, { priority: 'high', signal: abort.signal }));
    await expect(normal).rejects.toMatchObject({ name: 'QuotaWaitError', retryAfterMs: 100 });
    await expect.poll(() => countClaims(name), { timeout: 20_000 }).toBe(1);
    abort.abort(new Error('enough'));
    await expect(high).rejects.toThrow('enough');
  });

  test.each([
    [0, 0],
    [0.2, 20],
  ])('gives low work a reserved share of %d', async (lowShare, expected) => {
    const name = await emptied({ requestsPerMinute: 6_000, burstSeconds: 60, lowShare });
    const low = await Promise.all(Array.from({ length: 100 }, () => place(name, 2)));
    const high = await Promise.all(Array.from({ length: 150 }, () => place(name, 0)));
    const admitted = await inflow(name, 1_001, [...low, ...high]);
    const ofLow = low.filter(({ id }) => admitted.includes(id)).length;
    expect(Math.abs(ofLow - expected)).toBeLessThanOrEqual(1);
  });
});

test('a waiting call knows what it waits for, and about how long', async () => {
  const name = await emptied({ requestsPerMinute: 600, outputTokensPerMinute: 6_000, burstSeconds: 60 });
  await place(name, 0, { input: 1, output: 400 });
  await place(name, 2, { input: 1, output: 1 });
  await place(name, 1, { input: 1, output: 1_000 });
  await store.pool.query('UPDATE quota_group SET refilled_at = clock_timestamp() WHERE name = $1', [name]);
  // Other tests have left calls of this chain in lines of their own groups.
  const look = async () => (await readQuotaOutlook(store, 'chain-1')).find(({ group }) => group === name);
  const outlook = await look();
  expect(outlook).toMatchObject({ step: 'step', call: 1, group: name, limit: 'output' });
  // 1,400 tokens at 100 a second.
  expect(outlook?.waitMs).toBeGreaterThan(13_000);
  expect(outlook?.waitMs).toBeLessThanOrEqual(14_000);
  await closeQuota(store, name, 60_000);
  expect(await look()).toMatchObject({ limit: 'refused' });
});

describe('a reservation', () => {
  test('is settled by what was really used, once', async () => {
    const name = await emptied({ inputTokensPerMinute: 60_000, outputTokensPerMinute: 60_000, burstSeconds: 60 });
    const claim = await place(name, 0, { input: 500, output: 600 });
    await inflow(name, 2_000, [claim]);
    const before = await levels(name);
    await store.pool.query(
      `UPDATE quota_group SET refilled_at = clock_timestamp() + interval '1 hour' WHERE name = $1`,
      [name],
    );
    await settleQuota(store, claim.id, { input: 700, output: 100 });
    await settleQuota(store, claim.id, { input: 0, output: 0 });
    const after = await levels(name);
    expect(after.input_level - before.input_level).toBeCloseTo(-200, 6);
    expect(after.output_level - before.output_level).toBeCloseTo(500, 6);
    expect(after.requests_level).toBe(before.requests_level);
  });

  test('that is larger than a full bucket waits for a full one and leaves it in debt', async () => {
    const { name, parts } = await group({ outputTokensPerMinute: 6_000, burstSeconds: 5 });
    const reservation = await (parts[0] as SharedQuota).reserve(call(name, { output: 3_000 }));
    expect((await levels(name)).output_level).toBeLessThan(-2_000);
    reservation.release();
    await expect.poll(async () => (await levels(name)).output_level, { timeout: 20_000 }).toBeGreaterThan(400);
  });

  test('that no minute could hold is refused with the numbers', async () => {
    const { name, parts } = await group({ inputTokensPerMinute: 1_000 });
    const refused = (parts[0] as SharedQuota).reserve(call(name, { input: 1_001 }));
    await expect(refused).rejects.toThrow(QuotaTooSmallError);
    await expect(refused).rejects.toThrow(`about 1001 input tokens; the quota group ${name} allows 1000 a minute`);
  });

  test('leaves no place behind when it is aborted or waits too long', async () => {
    const { name, parts } = await group({ requestsPerMinute: 1 });
    const [part] = parts as [SharedQuota];
    await part.reserve(call(name));
    await expect(part.reserve(call(name, { maxWaitMs: 5 }))).rejects.toThrow('No room');
    const abort = new AbortController();
    const aborted = part.reserve(call(name, { signal: abort.signal }));
    abort.abort(new Error('cancelled'));
    await expect(aborted).rejects.toThrow('cancelled');
    const waiting = async () =>
      (await store.pool.query('SELECT FROM quota_claim WHERE quota_group = $1 AND admitted_at IS NULL', [name]))
        .rowCount;
    await expect.poll(waiting, { timeout: 20_000 }).toBe(0);
  });

  test('survives the loss of the unlogged places', async () => {
    const { name, parts } = await group({ requestsPerMinute: 60 });
    const [part] = parts as [SharedQuota];
    await part.close(name, 500);
    const waiting = part.reserve(call(name));
    const count = async () =>
      (await store.pool.query('SELECT FROM quota_claim WHERE quota_group = $1', [name])).rowCount;
    await expect.poll(count, { timeout: 20_000 }).toBe(1);
    await store.pool.query('TRUNCATE quota_claim');
    (await waiting).release();
  });
});

describe('a group', () => {
  test('learns lower levels and other limits from the provider, and never higher levels', async () => {
    const { name, parts } = await group({ requestsPerMinute: 600, burstSeconds: 5 });
    const reservation = await (parts[0] as SharedQuota).reserve(call(name, { input: 10, output: 20 }));
    const inputTokens = { limit: 120_000, remaining: 100 };
    reservation.observe({ requests: { limit: 300, remaining: 3 }, inputTokens });
    await expect.poll(async () => (await levels(name)).requests_per_minute, { timeout: 20_000 }).toBe(300);
    const level = await levels(name);
    expect(level).toMatchObject({ input_per_minute: 120_000 });
    expect(level.requests_level).toBeLessThanOrEqual(3);
    expect(level.input_level).toBeLessThanOrEqual(100);
    reservation.observe({ requests: { limit: 301, remaining: 200 } });
    await expect.poll(async () => (await levels(name)).requests_per_minute, { timeout: 20_000 }).toBe(301);
    // It has risen by nothing but time.
    expect((await levels(name)).requests_level).toBeLessThan(25);
  });

  test('does not take off twice what was admitted while the provider answered, but for output, which is yet to come', async () => {
    const name = await emptied({ requestsPerMinute: 600, inputTokensPerMinute: 6_000, outputTokensPerMinute: 6_000 });
    const first = await place(name, 1, { input: 10, output: 5 });
    const second = await place(name, 1, { input: 20, output: 7 });
    expect(await inflow(name, 1_000, [first, second])).toHaveLength(2);
    const { requests_level, input_level, output_level } = await levels(name);
    const read = (remaining: number) => ({ limit: 6_000, remaining });
    const left = { requests: { limit: 600, remaining: requests_level }, inputTokens: read(input_level) };
    await observeQuota(store, first.id, left);
    expect(await levels(name)).toMatchObject({ requests_level, input_level, output_level });
    await observeQuota(store, first.id, { inputTokens: read(69), outputTokens: read(80) });
    expect(await levels(name)).toMatchObject({ input_level: 69, output_level: 80 - 5 - 7 });
  });

  test('does not take off twice what a call took more than was reserved, and keeps what others took', async () => {
    const name = await emptied({ requestsPerMinute: 600, inputTokensPerMinute: 6_000, outputTokensPerMinute: 6_000 });
    const read = (remaining: number) => ({ limit: 6_000, remaining });
    const first = await place(name, 1, { input: 10, output: 10 });
    await inflow(name, 1_000, [first]);
    const { input_level: input, output_level: output } = await levels(name);
    // Of its output 30 have been taken that were not reserved, and ten are to come; of its input 20.
    await observeQuota(store, first.id, { inputTokens: read(input - 20), outputTokens: read(output - 20) });
    await settleQuota(store, first.id, { input: 30, output: 60 });
    const { input_level: lessInput, output_level: lessOutput } = await levels(name);
    expect(input - lessInput).toBeCloseTo(20, 6);
    expect(output - lessOutput).toBeCloseTo(50, 6);

    const second = await place(name, 1, { input: 10, output: 10 });
    await inflow(name, 1_000, [second]);
    await observeQuota(store, second.id, { inputTokens: read(50) });
    await settleQuota(store, second.id, { input: 10, output: 10 });
    expect(await levels(name)).toMatchObject({ input_level: 50 });
    const third = await place(name, 1, { input: 10, output: 10 });
    await inflow(name, 1_000, [third]);
    const { input_level } = await levels(name);
    await settleQuota(store, third.id, { input: 30, output: 10 });
    expect((await levels(name)).input_level).toBeCloseTo(input_level - 20, 6);
  });

  test('says what it could not write down, when trying again would not help', async () => {
    const { name } = await group({});
    const said: string[] = [];
    const ending = openStore(url);
    const part = new SharedQuota(ending, 1, (message) => said.push(message));
    await part.configure(name, DEFAULT_QUOTA);
    const reservation = await part.reserve(call(name));
    await ending.close();
    reservation.settle({ input: 1, output: 1 });
    await expect.poll(() => said).toEqual([expect.stringMatching(/^quota: a correction was given up: .+/)]);
  });

  test('is closed for all workers by a refusal, and opens without a burst', async () => {
    const { name, parts } = await group({ requestsPerMinute: 6_000 }, 2);
    const [one, other] = parts as [SharedQuota, SharedQuota];
    await one.close(name, 60_000);
    await expect(other.reserve(call(name, { maxWaitMs: 5 }))).rejects.toThrow('No room');
    await pass(name, 60_000);
    expect((await levels(name)).requests_level).toBeLessThanOrEqual(0);
    (await other.reserve(call(name))).release();
  });

  test('keeps what it has learned until its configuration changes', async () => {
    const { name, parts } = await group({ requestsPerMinute: 600 });
    const reservation = await (parts[0] as SharedQuota).reserve(call(name));
    reservation.observe({ requests: { limit: 500, remaining: 400 } });
    await expect.poll(async () => (await levels(name)).requests_per_minute, { timeout: 20_000 }).toBe(500);
    const restarted = new SharedQuota(store, 9, failOn);
    await restarted.configure(name, { ...DEFAULT_QUOTA, requestsPerMinute: 600 });
    expect((await levels(name)).requests_per_minute).toBe(500);
    await restarted.configure(name, { ...DEFAULT_QUOTA, requestsPerMinute: 700 });
    expect((await levels(name)).requests_per_minute).toBe(700);
  });

  test('loses the claims of dead workers, and keeps those of living ones', async () => {
    const { name } = await group({ requestsPerMinute: 600 });
    const claims = [await place(name, 0, undefined, 101), await place(name, 0, undefined, 102)];
    const left = async () =>
      (await store.pool.query('SELECT worker FROM quota_claim WHERE quota_group = $1', [name])).rows;
    await dropDeadClaims(store, [102]);
    expect(await left()).toHaveLength(2);
    const ids = claims.map(({ id }) => id);
    await store.pool.query(`UPDATE quota_claim SET seen_at = seen_at - interval '1 minute' WHERE id = ANY($1)`, [ids]);
    await dropDeadClaims(store, [102]);
    expect(await left()).toEqual([{ worker: 102 }]);
  });
});

/** As Temporal does it: a call that gave way to urgent work comes again. */
async function reserveAgain(part: SharedQuota, options: ReserveOptions): Promise<Reservation> {
  for (;;) {
    try {
      return await part.reserve(options);
    } catch (error) {
      if (!(error instanceof QuotaWaitError)) throw error;
    }
  }
}

test('a place whose answer was lost with its connection is given up, and those that the worker knows are not', async () => {
  const { name } = await group({});
  const link = await Link.to(Number(new URL(url).port));
  const through = new URL(url);
  through.port = String(link.port);
  const cutStore = openStore(through.href, { maxConnections: 2 });
  const strayMs = 2_000;
  const part = new SharedQuota(cutStore, 77, failOn, strayMs);
  await part.configure(name, DEFAULT_QUOTA);
  const claims = async () => {
    const found = await store.pool.query('SELECT chain_id FROM quota_claim WHERE worker = 77 ORDER BY chain_id');
    return found.rows.map(({ chain_id }) => chain_id);
  };
  try {
    const kept = await part.reserve(call(name, { chain: 'kept' }));
    const lock = await store.pool.connect();
    await lock.query('BEGIN');
    await lock.query('SELECT FROM quota_group WHERE name = $1 FOR UPDATE', [name]);
    const lost = part.reserve(call(name, { chain: 'lost' }));
    const failing = expect(lost).rejects.toThrow();
    await expect
      .poll(async () => {
        const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%quota_claim(%'`;
        return (await store.pool.query(waiting)).rowCount;
      })
      .toBe(1);
    link.cut();
    await failing;
    link.mend();
    await lock.query('COMMIT');
    lock.release();
    await expect.poll(claims).toEqual(['kept', 'lost']);
    await expect.poll(claims).toEqual(['kept']);
    kept.settle({ input: 1, output: 1 });
    await expect.poll(claims).toEqual([]);
  } finally {
    await cutStore.close();
    await link.close();
  }
});

describe('many clients at once', () => {
  /** Numbers that look random and are the same in each run. */
  function* numbers(seed: number): Generator<number, never> {
    for (let state = seed; ; ) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      yield state / 2 ** 32;
    }
  }

  test.each([1, 2, 3])(
    'admit in no window more than it holds, conserve settled tokens and forget nobody (seed %i)',
    async (seed) => {
      const perMinute = { requests: 30_000, input: 3_000_000, output: 600_000 };
      const burstSeconds = 1;
      const limits = {
        requestsPerMinute: perMinute.requests,
        inputTokensPerMinute: perMinute.input,
        outputTokensPerMinute: perMinute.output,
        burstSeconds,
      };
      const { name, parts } = await group(limits, 4);
      const random = numbers(seed);
      const calls = Array.from({ length: 400 }, () => {
        const [a, b, c, d] = [random, random, random, random].map((of) => of.next().value) as [
          number,
          number,
          number,
          number,
        ];
        return {
          priority: (['high', 'normal', 'low'] as const satisfies Priority[])[Math.floor(a * 3)] as Priority,
          input: Math.ceil(b * 200),
          output: Math.ceil(c * 60),
          used: { input: Math.floor(d * 200), output: Math.floor(a * 60) },
        };
      });
      let given = { input: 0, output: 0 };
      const end = await Promise.all(
        calls.map(async ({ used, ...asked }, at) => {
          const reservation = await reserveAgain(parts[at % 4] as SharedQuota, call(name, asked));
          given = { input: given.input + asked.input, output: given.output + asked.output };
          return () => reservation.settle(used);
        }),
      );
      // Nothing is settled before all are in, so that the table still knows who came in when.
      const { rows } = await store.pool.query<{ at: number; input: number; output: number }>(
        `SELECT extract(epoch FROM admitted_at)::float8 AS at, input, output FROM quota_claim
         WHERE quota_group = $1 ORDER BY admitted_at`,
        [name],
      );
      expect(rows).toHaveLength(calls.length);
      for (const [dimension, rate] of Object.entries(perMinute)) {
        const costOf = (row: (typeof rows)[number]) =>
          dimension === 'requests' ? 1 : row[dimension as 'input' | 'output'];
        // The largest surplus of any window, in one pass: what was admitted less what flowed in.
        let surplus = 0;
        let most = 0;
        let last = rows[0]?.at ?? 0;
        for (const row of rows) {
          surplus = Math.max(0, surplus - ((row.at - last) * rate) / 60) + costOf(row);
          most = Math.max(most, surplus);
          last = row.at;
        }
        // The levels are filled a moment before the time of admission is written.
        expect(most).toBeLessThanOrEqual((rate * burstSeconds) / 60 + (rate / 60) * 0.05);
      }
      await stopTime(name);
      const before = await levels(name);
      for (const settle of end) settle();
      const left = async () =>
        (await store.pool.query('SELECT FROM quota_claim WHERE quota_group = $1', [name])).rowCount;
      await expect.poll(left, { timeout: 30_000 }).toBe(0);
      const after = await levels(name);
      const sum = (of: (one: (typeof calls)[number]) => number) => calls.reduce((total, one) => total + of(one), 0);
      expect(after.input_level - before.input_level).toBeCloseTo(given.input - sum(({ used }) => used.input), 3);
      expect(after.output_level - before.output_level).toBeCloseTo(given.output - sum(({ used }) => used.output), 3);
    },
  );
});
