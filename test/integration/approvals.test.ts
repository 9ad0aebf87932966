import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { checkEdit } from '../../src/contracts/approvals.js';
import type { HoldDecision, HoldRequest } from '../../src/contracts/holds.js';
import { closeChain, ensureChain, findChain, insertChain, markStarted } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { decideHold, type HoldScope, listHolds, openHold, readDecision } from '../../src/store/holds.js';
import { migrate } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';

let store: Store;
beforeAll(async () => {
  store = openStore(await createDatabase());
  await migrate(store);
});
afterAll(() => store?.close());

const HOUR_MS = 3_600_000;
const request: HoldRequest = {
  holdId: 'report-0a1b2c3d',
  kind: 'approval',
  reason: 'approval_required',
  step: 'report',
  call: 1,
  message: 'A report waits for approval.',
  proposal: { text: 'with a \u0000 and a \ud800' },
};
const inOneHour = () => new Date(Date.now() + HOUR_MS).toISOString();
const anHourAgo = () => new Date(Date.now() - HOUR_MS).toISOString();

let counter = 0;
async function held(more: Partial<HoldRequest> = {}): Promise<HoldScope> {
  counter += 1;
  const chain = {
    type: 'report',
    tenant: 'acme',
    priority: 'normal',
    contentHash: `c${counter}`,
    input: '{}',
  } as const;
  const { row } = await insertChain(store, chain);
  await markStarted(store, row.id, 'r');
  const scope = { chainId: row.id, firstRunId: 'r' };
  expect(await openHold(store, scope, { ...request, ...more })).toBeNull();
  return scope;
}

const approve: HoldDecision = { verdict: 'approve', by: 'ann' };
const decide = (scope: HoldScope, decision: HoldDecision, decisionId?: string) =>
  decideHold(store, scope, request.holdId, decision, decisionId);
const onlyHold = async (scope: HoldScope) => (await listHolds(store, scope.chainId, scope.firstRunId))[0];
const again = (scope: HoldScope, runId: string) =>
  ensureChain(store, { id: scope.chainId, type: 'report', firstRunId: 'r', runId, namespace: 'default' });

describe('an approval in the store', () => {
  test('keeps proposal and edit as they were', async () => {
    const scope = await held();
    const edit = { text: 'other \u0000 words \ud800', nothing: null };
    const outcome = await decide(scope, { ...approve, by: 'a\u0000nn', note: 'x\u0000y', edit });
    expect(outcome).toMatchObject({ accepted: true });
    const hold = await onlyHold(scope);
    expect(JSON.parse(hold?.proposal ?? '')).toEqual(request.proposal);
    expect(await readDecision(store, scope, request.holdId)).toMatchObject({ verdict: 'approve', edit });
  });

  test('knows an edit to nothing from no edit', async () => {
    const [edited, plain] = [await held(), await held()];
    await decide(edited, { ...approve, edit: null });
    await decide(plain, approve);
    expect(await readDecision(store, edited, request.holdId)).toHaveProperty('edit', null);
    expect(await readDecision(store, plain, request.holdId)).not.toHaveProperty('edit');
  });

  test('takes no retry', async () => {
    const scope = await held();
    await expect(decide(scope, { verdict: 'retry', by: 'ann' })).rejects.toMatchObject({ code: 'WRONG_DECISION' });
    expect(await onlyHold(scope)).toMatchObject({ verdict: null, decided_at: null });
  });

  test('counts the same decision once and tells it twice, when its answer was lost', async () => {
    const scope = await held();
    const first = await decide(scope, approve, 'run-1');
    expect(await decide(scope, approve, 'run-1')).toEqual(first);
    expect(await decide(scope, { verdict: 'reject', by: 'bob' }, 'run-2')).toMatchObject({
      accepted: false,
      decision: { by: 'ann' },
    });
    expect(await decide(scope, approve)).toMatchObject({ accepted: false });
  });
});

describe('the deadline in the store', () => {
  test('has decided when somebody comes after it, though nothing has run since', async () => {
    const scope = await held({ deadline: anHourAgo(), onTimeout: 'reject' });
    const outcome = await decide(scope, approve);
    expect(outcome).toMatchObject({ accepted: false, decision: { verdict: 'reject', by: 'deadline' } });
    expect(await decide(scope, { verdict: 'reject', by: 'deadline' }, 'run-1')).toEqual(outcome);
    expect(await findChain(store, scope.chainId)).toMatchObject({ state: 'running' });
  });

  test('decides nothing before it is there, and what a person said in time stands', async () => {
    const scope = await held({ deadline: inOneHour(), onTimeout: 'reject' });
    expect(await decide(scope, approve)).toMatchObject({ accepted: true });
    expect(await decide(scope, { verdict: 'reject', by: 'deadline' })).toMatchObject({
      accepted: false,
      decision: { verdict: 'approve', by: 'ann' },
    });
  });

  test('begins anew with a reset to before the approval, as timers do', async () => {
    const scope = await held({ deadline: anHourAgo(), onTimeout: 'reject' });
    expect(await openHold(store, scope, { ...request, deadline: inOneHour(), onTimeout: 'approve' })).toBeNull();
    expect(await onlyHold(scope)).toMatchObject({ on_timeout: 'approve' });
    expect(await decide(scope, approve)).toMatchObject({ accepted: true });
  });
});

describe('after a reset', () => {
  test('to before the approval its decision stands', async () => {
    const scope = await held();
    await decide(scope, approve);
    await closeChain(store, scope.chainId, { state: 'completed', runId: 'r', output: '1' });
    await again(scope, 'reset');
    expect(await openHold(store, scope, request)).toMatchObject({ verdict: 'approve', by: 'ann' });
  });

  test('into the approval, of a chain that was cancelled meanwhile, it is open and can be decided', async () => {
    const scope = await held({ deadline: anHourAgo(), onTimeout: 'reject' });
    await closeChain(store, scope.chainId, { state: 'cancelled', runId: 'r' });
    expect(await readDecision(store, scope, request.holdId)).toBeNull();
    expect(await decide(scope, approve)).toMatchObject({ accepted: false, decision: { verdict: 'withdrawn' } });
    await again(scope, 'reset');
    expect(await decide(scope, approve)).toMatchObject({ accepted: true, decision: { by: 'ann' } });
  });

  test('many open and decide at once without waiting for each other for ever', async () => {
    const scope = await held();
    for (let run = 0; run < 10; run += 1) {
      await closeChain(store, scope.chainId, { state: 'cancelled', runId: `run-${run - 1}` });
      await again(scope, `run-${run}`);
      await store.db.updateTable('hold').set({ verdict: 'withdrawn' }).where('chain_id', '=', scope.chainId).execute();
      await Promise.all([openHold(store, scope, request), decide(scope, approve), openHold(store, scope, request)]);
    }
  });
});

describe('an edit', () => {
  const approvals = {
    report: { proposal: z.strictObject({ points: z.array(z.string()).min(1), title: z.string().trim() }) },
    broken: {
      proposal: z.unknown().refine(() => {
        throw new Error('no such table');
      }),
    },
  };

  test('is parsed by the schema of its category', async () => {
    const edit = { points: ['a'], title: ' A ' };
    expect(await checkEdit(approvals, 'report', edit)).toEqual({ ok: true, value: { ...edit, title: 'A' } });
  });

  test('that does not fit is refused with every field that is wrong', async () => {
    const checked = await checkEdit(approvals, 'report', { points: [] });
    expect(checked).toMatchObject({ ok: false, error: expect.stringMatching(/points: .*; title: /) });
  });

  test('may be anything where no schema is registered', async () => {
    for (const registry of [undefined, approvals]) {
      expect(await checkEdit(registry, 'toString', 7)).toEqual({ ok: true, value: 7 });
    }
  });

  test('is refused, not tried for ever, when the schema itself fails on it', async () => {
    expect(await checkEdit(approvals, 'broken', 7)).toMatchObject({
      ok: false,
      error: expect.stringContaining('no such table'),
    });
  });
});
