import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JournalKey, NewAttempt } from '../../src/store/attempts.js';
import {
  endAttempt,
  findSuccess,
  interruptAttempt,
  listAttempts,
  openAttempt,
  recordReuse,
  succeedAttempt,
} from '../../src/store/attempts.js';
import {
  closeChain,
  ensureChain,
  findChain,
  insertChain,
  markStarted,
  type NewChain,
  takeOpenChains,
  wasClosedBeforeStart,
} from '../../src/store/chains.js';
import { encodeTurns, readConversation } from '../../src/store/conversations.js';
import { openStore, type Store } from '../../src/store/database.js';
import { listNotes } from '../../src/store/dead-letters.js';
import { decideHold, listHolds, openHold, readDecision, takeUntakenDecisions } from '../../src/store/holds.js';
import { announceWorker, isWorkerAlive } from '../../src/store/liveness.js';
import { migrate } from '../../src/store/migrate.js';
import { insertScheduledChain } from '../../src/store/scheduled-chains.js';
import { createDatabase } from '../support/database.js';

let url: string;
let store: Store;

beforeAll(async () => {
  url = await createDatabase();
  store = openStore(url);
  await Promise.all([migrate(store), migrate(store)]);
  await migrate(store);
});
afterAll(() => store.close());

let counter = 0;
function newChain(overrides: Partial<NewChain> = {}): NewChain {
  counter += 1;
  return {
    type: 'analyzeDocument',
    tenant: 'acme',
    priority: 'normal',
    contentHash: `content-${counter}`,
    input: '{}',
    ...overrides,
  };
}

describe('a chain that a schedule starts', () => {
  const fired = (id: string, overrides = {}) => ({
    ...({
      id,
      type: 'analyzeDocument',
      tenant: 'acme',
      priority: 'low',
      key: 'schedule nightly 1',
      title: null,
    } as const),
    ...{ firstRunId: 'r', runId: 'r', namespace: 'default', input: '{}', contentHash: 'nightly' },
    scheduledAt: new Date(0),
    ...overrides,
  });

  test('gets one row, however often it asks for it, and no second one for the same time', async () => {
    expect(await insertScheduledChain(store, fired('nightly-1'))).toBe(true);
    expect(await insertScheduledChain(store, fired('nightly-1', { title: 'again' }))).toBe(true);
    expect(await insertScheduledChain(store, fired('nightly-1-again'))).toBe(false);
    expect(await findChain(store, 'nightly-1')).toMatchObject({
      title: null,
      state: 'running',
      created_at: new Date(0),
    });
    expect(await findChain(store, 'nightly-1-again')).toBeUndefined();
  });

  test('is joined by no submission with the same content', async () => {
    await insertScheduledChain(store, fired('alone', { key: 'schedule alone 1', contentHash: 'alone' }));
    expect(await insertChain(store, newChain({ contentHash: 'alone' }))).toMatchObject({ duplicate: false });
  });
});

describe('submitting', () => {
  test('with the same key finds the first chain, for ever', async () => {
    const chain = newChain({ key: 'same-key' });
    const first = await insertChain(store, chain);
    await closeChain(store, first.row.id, { state: 'completed', output: '1' });
    const second = await insertChain(store, chain);
    expect(second).toMatchObject({ duplicate: true, row: { id: first.row.id, state: 'completed', output: '1' } });
  });

  test('with the same key and another input names the first chain', async () => {
    const first = await insertChain(store, newChain({ key: 'conflict' }));
    await expect(insertChain(store, newChain({ key: 'conflict' }))).rejects.toMatchObject({
      code: 'KEY_CONFLICT',
      message: expect.stringContaining(first.row.id),
    });
  });

  test('identical content without a key joins the chain in flight, but not one that has ended', async () => {
    const chain = newChain();
    const first = await insertChain(store, chain);
    expect(await insertChain(store, chain)).toMatchObject({ duplicate: true, row: { id: first.row.id } });
    await closeChain(store, first.row.id, { state: 'completed', output: '1' });
    expect((await insertChain(store, chain)).duplicate).toBe(false);
  });

  test('identical content is not joined where the chain declares so', async () => {
    const chain = { ...newChain(), join: false };
    const first = await insertChain(store, chain);
    expect(await insertChain(store, chain)).toMatchObject({ duplicate: false });
    expect(await insertChain(store, { ...chain, join: true })).toMatchObject({ duplicate: false });
    expect(first.duplicate).toBe(false);
  });

  test('a completed chain answers for identical content as long as is declared, and no failed one does', async () => {
    const chain = { ...newChain(), reuseForMs: 60_000 };
    const end = (id: string, state: 'completed' | 'failed') => closeChain(store, id, { state, output: '1' });
    const failed = (await insertChain(store, chain)).row;
    await end(failed.id, 'failed');
    const first = (await insertChain(store, chain)).row;
    expect(first.id).not.toBe(failed.id);
    await end(first.id, 'completed');
    expect(await insertChain(store, chain)).toMatchObject({ duplicate: true, row: { id: first.id, output: '1' } });
    expect((await insertChain(store, { ...chain, tenant: 'other' })).duplicate).toBe(false);
    await store.pool.query(`UPDATE chain SET closed_at = closed_at - interval '1 minute' WHERE id = $1`, [first.id]);
    expect((await insertChain(store, chain)).duplicate).toBe(false);
    expect((await insertChain(store, { ...chain, key: 'reuse-key' })).duplicate).toBe(false);
  });

  test('identical content of another tenant is another chain', async () => {
    const chain = newChain();
    await insertChain(store, chain);
    expect((await insertChain(store, { ...chain, tenant: 'other' })).duplicate).toBe(false);
  });

  test('identical content with two keys is two chains', async () => {
    const chain = newChain();
    const first = await insertChain(store, { ...chain, key: 'key-a' });
    const second = await insertChain(store, { ...chain, key: 'key-b' });
    expect(second.duplicate).toBe(false);
    expect(second.row.id).not.toBe(first.row.id);
  });

  test('twenty at once give one row', async () => {
    const chain = newChain();
    const results = await Promise.all(Array.from({ length: 20 }, () => insertChain(store, chain)));
    expect(new Set(results.map(({ row }) => row.id)).size).toBe(1);
    expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  });
});

describe('a chain', () => {
  test('has one end: the first', async () => {
    const { row } = await insertChain(store, newChain());
    expect(await closeChain(store, row.id, { state: 'completed', output: '"a"' })).toBe(true);
    expect(await closeChain(store, row.id, { state: 'failed', message: 'late' })).toBe(false);
    expect(await findChain(store, row.id)).toMatchObject({ state: 'completed', output: '"a"', message: null });
  });

  test('that was started without intake gets a row, and a child inherits tenant and priority', async () => {
    const { row } = await insertChain(store, newChain({ tenant: 'parents', priority: 'high' }));
    const child = await ensureChain(store, {
      id: 'a-child',
      type: 'child',
      firstRunId: 'r1',
      runId: 'r1',
      namespace: 'default',
      parentId: row.id,
    });
    expect(child).toMatchObject({ tenant: 'parents', priority: 'high', state: 'running', first_run_id: 'r1' });
    expect(
      await ensureChain(store, { id: 'an-orphan', type: 'x', firstRunId: 'r2', runId: 'r2', namespace: 'n' }),
    ).toMatchObject({
      tenant: 'default',
      priority: 'normal',
    });
  });

  test('that was reset after its end is open again, and a hold withdrawn with that end too', async () => {
    const running = { id: 'a-reset', type: 'x', firstRunId: 'r1', runId: 'r1', namespace: 'default' };
    const scope = { chainId: 'a-reset', firstRunId: 'r1' };
    const hold = { holdId: 's-1', kind: 'failure', reason: 'refusal', step: 's', call: 1, message: 'no' } as const;
    await ensureChain(store, running);
    await openHold(store, scope, hold);
    await closeChain(store, 'a-reset', { state: 'cancelled', runId: 'r1' });
    expect(await ensureChain(store, running)).toMatchObject({ state: 'cancelled' });
    expect(await ensureChain(store, { ...running, runId: 'r2' })).toMatchObject({ state: 'running', closed_at: null });
    expect(await openHold(store, scope, hold)).toBeNull();
    expect(await findChain(store, 'a-reset')).toMatchObject({ state: 'held' });
  });

  test('that was cancelled while it was queued stays closed, also when its workflow has been started', async () => {
    const { row } = await insertChain(store, newChain());
    await closeChain(store, row.id, { state: 'cancelled' }, { onlyIfQueued: true });
    const run = { id: row.id, type: 'x', firstRunId: 'r1', runId: 'r1', namespace: 'default' };
    const seen = await ensureChain(store, run);
    expect(seen).toMatchObject({ state: 'cancelled', first_run_id: null });
    expect(wasClosedBeforeStart(seen)).toBe(true);
  });

  test('is for the sweeper of its own namespace, and not twice within seconds', async () => {
    const ids = { own: '', other: '' };
    for (const [name, namespace] of [
      ['own', 'sweep-own'],
      ['other', 'sweep-other'],
    ] as const) {
      ids[name] = (await insertChain(store, newChain({ namespace }))).row.id;
      const created_at = new Date(Date.now() - 60_000);
      await store.db.updateTable('chain').set({ created_at }).where('id', '=', ids[name]).execute();
    }
    const taken = async () => (await takeOpenChains(store, 'queued', 'sweep-own', 1_000)).map(({ id }) => id);
    const first = await taken();
    expect(first).toContain(ids.own);
    expect(first).not.toContain(ids.other);
    expect(await taken()).not.toContain(ids.own);
  });

  test('that is closed cannot be marked as started', async () => {
    const { row } = await insertChain(store, newChain());
    await closeChain(store, row.id, { state: 'cancelled' }, { onlyIfQueued: true });
    await markStarted(store, row.id, 'run');
    expect(await findChain(store, row.id)).toMatchObject({ state: 'cancelled' });
  });
});

function newAttempt(key: JournalKey, overrides: Partial<NewAttempt> = {}): NewAttempt {
  return {
    chain_id: key.chainId,
    tenant: 'acme',
    first_run_id: key.firstRunId,
    run_id: key.firstRunId,
    step: key.step,
    input_hash: key.inputHash,
    occurrence: key.occurrence,
    revision: key.revision,
    call: 1,
    round: 0,
    kind: 'call',
    spent: false,
    worker: 1,
    model: 'claude-sonnet-5-5',
    lane: 'fast',
    quota_group: 'claude-sonnet-5-5',
    prompt_hash: 'p',
    request_id: null,
    reason: null,
    message: null,
    input_tokens: 0,
    output_tokens: 0,
    cache_read_tokens: 0,
    cache_write_5m_tokens: 0,
    cache_write_1h_tokens: 0,
    cost_micro_usd: null,
    answer: null,
    ...overrides,
  };
}

const USAGE = {
  inputTokens: 10,
  outputTokens: 20,
  cacheReadTokens: 30,
  cacheWrite5mTokens: 40,
  cacheWrite1hTokens: 50,
};

describe('attempts', () => {
  async function keyOfNewChain(): Promise<JournalKey> {
    const { row } = await insertChain(store, newChain());
    return { chainId: row.id, firstRunId: 'r', step: 'analyze', inputHash: 'h', occurrence: 0, revision: 0 };
  }

  async function opened(key: JournalKey): Promise<number> {
    const id = await openAttempt(store, newAttempt(key));
    expect(id).toBeDefined();
    return id as number;
  }

  const paid = {
    usage: USAGE,
    costMicroUsd: 5,
    requestId: null,
    tenant: 'acme',
    turns: [Buffer.from('turn')],
    result: '1',
  };

  test('of one call are open one at a time, however many ask, and none after a success', async () => {
    const key = await keyOfNewChain();
    const asked = await Promise.all(Array.from({ length: 20 }, () => openAttempt(store, newAttempt(key))));
    const ids = asked.filter((id) => id !== undefined);
    expect(ids).toHaveLength(1);
    await endAttempt(store, ids[0] as number, {
      ...paid,
      state: 'failed',
      spent: true,
      reason: 'timeout',
      message: 'slow',
    });
    const again = await opened(key);
    expect(await openAttempt(store, newAttempt(key))).toBeUndefined();
    await succeedAttempt(store, again, paid);
    expect(await openAttempt(store, newAttempt(key))).toBeUndefined();
    expect(await listAttempts(store, key)).toHaveLength(2);
  });

  test('a success is found again under its key and no other', async () => {
    const key = await keyOfNewChain();
    const id = await opened(key);
    expect(await findSuccess(store, key)).toBeUndefined();
    const turns = encodeTurns(undefined, [{ role: 'user', content: [{ type: 'text', text: 'hello' }] }]);
    await succeedAttempt(store, id, {
      usage: USAGE,
      costMicroUsd: 123,
      requestId: 'req_1',
      tenant: 'acme',
      turns: turns.bytes,
      result: '{"output":1}',
    });
    expect(await findSuccess(store, key)).toMatchObject({
      result: '{"output":1}',
      cost_micro_usd: 123,
      input_tokens: 10,
      cache_write_1h_tokens: 50,
      request_id: 'req_1',
    });
    for (const other of [{ occurrence: 1 }, { inputHash: 'i' }, { revision: 1 }, { firstRunId: 's' }, { step: 't' }]) {
      expect(await findSuccess(store, { ...key, ...other })).toBeUndefined();
    }
    expect(await readConversation(store, 'acme', turns.last)).toHaveLength(1);
  });

  test('a reuse is one receipt per run, over nothing paid', async () => {
    const key = await keyOfNewChain();
    const id = await opened(key);
    await succeedAttempt(store, id, paid);
    const success = await findSuccess(store, key);
    await recordReuse(store, success!, 'run-2');
    await recordReuse(store, success!, 'run-2');
    const rows = await store.db.selectFrom('attempt').selectAll().where('chain_id', '=', key.chainId).execute();
    expect(rows.map(({ kind, cost_micro_usd }) => [kind, cost_micro_usd])).toEqual([
      ['call', 5],
      ['reuse', 0],
    ]);
    expect(await listAttempts(store, key)).toHaveLength(1);
  });

  test('an interrupted call says so, and a success that comes late all the same counts', async () => {
    const key = await keyOfNewChain();
    const id = await opened(key);
    await interruptAttempt(store, id);
    expect((await listAttempts(store, key))[0]).toMatchObject({ state: 'interrupted', reason: 'worker_lost' });
    await succeedAttempt(store, id, {
      usage: USAGE,
      costMicroUsd: null,
      requestId: null,
      tenant: 'acme',
      turns: [Buffer.from('a turn')],
      result: '1',
    });
    expect(await findSuccess(store, key)).toMatchObject({ state: 'succeeded', reason: null, cost_micro_usd: null });
  });

  test('a failure keeps reason, message, answer and bill', async () => {
    const key = await keyOfNewChain();
    const id = await opened(key);
    await endAttempt(store, id, {
      state: 'failed',
      spent: true,
      reason: 'schema_mismatch',
      message: 'keyPoints: too short',
      answer: '{}',
      usage: USAGE,
      costMicroUsd: 7,
      requestId: 'req_2',
    });
    expect((await listAttempts(store, key))[0]).toMatchObject({
      state: 'failed',
      spent: true,
      reason: 'schema_mismatch',
      message: 'keyPoints: too short',
      answer: '{}',
      output_tokens: 20,
      cost_micro_usd: 7,
    });
  });
});

describe('conversations', () => {
  const turn = (role: 'user' | 'assistant', text: string) => ({ role, content: [{ type: 'text' as const, text }] });

  test('come back in order and to the byte, however they were forked', async () => {
    const base = encodeTurns(undefined, [turn('user', 'a "ü"\u2028\n'), turn('assistant', 'b')]);
    const left = encodeTurns(base.last, [turn('user', 'left')]);
    const right = encodeTurns(base.last, [turn('user', 'right')]);
    const { putBlobs } = await import('../../src/store/blobs.js');
    await putBlobs(store.db, 'acme', [...base.bytes, ...left.bytes, ...right.bytes, ...left.bytes]);
    expect(await readConversation(store, 'acme', left.last)).toEqual([
      turn('user', 'a "ü"\u2028\n'),
      turn('assistant', 'b'),
      turn('user', 'left'),
    ]);
    expect((await readConversation(store, 'acme', right.last))?.at(-1)).toEqual(turn('user', 'right'));
  });

  test('keep text that jsonb would refuse', async () => {
    const { putBlobs } = await import('../../src/store/blobs.js');
    const nul = encodeTurns(undefined, [turn('user', 'a\u0000b')]);
    const next = encodeTurns(nul.last, [turn('assistant', 'c')]);
    await putBlobs(store.db, 'acme', [...nul.bytes, ...next.bytes]);
    expect(await readConversation(store, 'acme', next.last)).toHaveLength(2);
  });

  test('of one tenant are not there for another', async () => {
    const { putBlobs } = await import('../../src/store/blobs.js');
    const own = encodeTurns(undefined, [turn('user', 'secret')]);
    await putBlobs(store.db, 'acme', own.bytes);
    expect(await readConversation(store, 'other', own.last)).toBeNull();
  });
});

describe('holds', () => {
  const hold = {
    holdId: 'analyze-1',
    kind: 'failure',
    reason: 'refusal',
    step: 'analyze',
    call: 1,
    message: 'no',
  } as const;

  async function held() {
    const { row } = await insertChain(store, newChain());
    const scope = { chainId: row.id, firstRunId: 'r' };
    expect(await openHold(store, scope, hold)).toBeNull();
    return scope;
  }

  test('open, show in the chain and give up its content slot', async () => {
    const { chainId } = await held();
    expect(await findChain(store, chainId)).toMatchObject({ state: 'held', content_slot: false });
  });

  test('have one winner among fifty deciders, and the others are told who it was', async () => {
    const scope = await held();
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        decideHold(store, scope, 'analyze-1', { verdict: 'retry', by: `decider ${index}` }),
      ),
    );
    const winners = outcomes.filter((outcome) => outcome?.accepted);
    expect(winners).toHaveLength(1);
    for (const outcome of outcomes) expect(outcome?.decision).toEqual(winners[0]?.decision);
    expect(await findChain(store, scope.chainId)).toMatchObject({ state: 'running' });
    expect(await openHold(store, scope, hold)).toEqual(winners[0]?.decision);
  });

  test('keep the chain held until the last of several is decided', async () => {
    const scope = await held();
    await openHold(store, scope, { ...hold, holdId: 'summarize-1' });
    await decideHold(store, scope, 'analyze-1', { verdict: 'retry', by: 'a' });
    expect(await findChain(store, scope.chainId)).toMatchObject({ state: 'held' });
    await decideHold(store, scope, 'summarize-1', { verdict: 'retry', by: 'a' });
    expect(await findChain(store, scope.chainId)).toMatchObject({ state: 'running' });
  });

  test('that do not exist are no winners', async () => {
    expect(await decideHold(store, await held(), 'nothing-1', { verdict: 'retry', by: 'a' })).toBeNull();
  });

  test('are withdrawn when the chain ends', async () => {
    const scope = await held();
    await closeChain(store, scope.chainId, { state: 'cancelled' });
    expect(await listHolds(store, scope.chainId, scope.firstRunId)).toMatchObject([{ verdict: 'withdrawn' }]);
  });

  test('of which one cancels the chain are no decision for its workflow, and are open again after a reset', async () => {
    const scope = await held();
    const cancel = { verdict: 'cancel', by: 'ann', note: 'not wanted' } as const;
    expect(await decideHold(store, scope, 'analyze-1', cancel)).toMatchObject({ accepted: true });
    expect(await decideHold(store, scope, 'analyze-1', { verdict: 'retry', by: 'bob' })).toMatchObject({
      accepted: false,
      decision: { by: 'ann', verdict: 'cancel' },
    });
    expect(await readDecision(store, scope, 'analyze-1')).toBeNull();
    expect(await openHold(store, scope, hold)).toBeNull();
    expect(await findChain(store, scope.chainId)).toMatchObject({ state: 'held' });
    await closeChain(store, scope.chainId, { state: 'cancelled' });
    await store.db.updateTable('chain').set({ closed_at: null }).where('id', '=', scope.chainId).execute();
    expect(await openHold(store, scope, hold)).toBeNull();
    expect(await listHolds(store, scope.chainId, scope.firstRunId)).toMatchObject([
      { verdict: null, decided_by: null },
    ]);
    expect(await listNotes(store, scope, 'analyze-1')).toMatchObject([
      { written_by: 'ann', text: expect.stringContaining('not wanted') },
    ]);
    expect(await decideHold(store, scope, 'analyze-1', { verdict: 'retry', by: 'bob' })).toMatchObject({
      accepted: true,
    });
  });

  describe('that are decided', () => {
    async function decided(overrides: { id?: string; namespace?: string } = {}) {
      const { row } = await insertChain(store, newChain({ namespace: overrides.namespace ?? 'default' }));
      await markStarted(store, row.id, 'r');
      const scope = { chainId: row.id, firstRunId: 'r' };
      await openHold(store, scope, hold);
      await decideHold(store, scope, 'analyze-1', { verdict: 'retry', by: 'a' });
      await ago(scope.chainId, 'decided_at');
      return scope;
    }
    const ago = (chainId: string, column: 'decided_at' | 'sent_at') =>
      store.db
        .updateTable('hold')
        .set({ [column]: new Date(Date.now() - 60_000) })
        .where('chain_id', '=', chainId)
        .execute();
    const isSent = async (scope: { chainId: string }) =>
      (await takeUntakenDecisions(store, 'default', 1_000)).some(({ chainId }) => chainId === scope.chainId);

    test('are sent again, but not at once, until the workflow has taken the decision', async () => {
      const scope = await decided();
      expect(await isSent(scope)).toBe(true);
      expect(await isSent(scope)).toBe(false);
      await ago(scope.chainId, 'sent_at');
      expect(await isSent(scope)).toBe(true);
      expect(await readDecision(store, scope, 'analyze-1')).toMatchObject({ verdict: 'retry', by: 'a' });
      const { markDecisionTaken } = await import('../../src/store/holds.js');
      await markDecisionTaken(store, scope, 'analyze-1');
      await ago(scope.chainId, 'sent_at');
      expect(await isSent(scope)).toBe(false);
    });

    test('ever more rarely', async () => {
      const scope = await decided();
      await store.db.updateTable('hold').set({ sends: 8 }).where('chain_id', '=', scope.chainId).execute();
      await ago(scope.chainId, 'sent_at');
      expect(await isSent(scope)).toBe(false);
    });

    test('are not sent to another namespace, nor when they were withdrawn, nor to a later chain of that id', async () => {
      expect(await isSent(await decided({ namespace: 'elsewhere' }))).toBe(false);
      const later = await decided();
      await ensureChain(store, { id: later.chainId, type: 'x', firstRunId: 's', runId: 's', namespace: 'default' });
      expect(await isSent(later)).toBe(false);
      const reset = { chainId: (await insertChain(store, newChain())).row.id, firstRunId: 'r' };
      await markStarted(store, reset.chainId, 'r');
      await openHold(store, reset, hold);
      await closeChain(store, reset.chainId, { state: 'cancelled', runId: 'r' });
      await ensureChain(store, { id: reset.chainId, type: 'x', firstRunId: 'r', runId: 's', namespace: 'default' });
      await ago(reset.chainId, 'decided_at');
      expect(await isSent(reset)).toBe(false);
    });
  });
});

describe('a worker', () => {
  test('is alive from its announcement to its end, and never afterwards', async () => {
    const worker = await announceWorker(store, url);
    expect(await isWorkerAlive(store, worker.number)).toBe(true);
    await worker.close();
    await expect.poll(() => isWorkerAlive(store, worker.number)).toBe(false);
  });
});

describe('a store that cannot be reached', () => {
  test('says so without giving the password away', async () => {
    const away = openStore('postgres://user:s3cret@127.0.0.1:1/db', { connectTimeoutMs: 1_000 });
    const error = await findChain(away, 'x').catch((thrown: unknown) => away.explain(thrown));
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', exitCode: 3 });
    expect(String(error)).toContain('127.0.0.1:1/db');
    expect(JSON.stringify(error) + String(error)).not.toContain('s3cret');
    await away.close();
  });

  test('is told from one that was set up by a newer version', async () => {
    const newer = openStore(await createDatabase());
    await migrate(newer);
    await newer.pool.query(`INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-future', 'now')`);
    await expect(migrate(newer)).rejects.toMatchObject({ code: 'SCHEMA_VERSION' });
    await newer.close();
  });
});

test('the migration to one open attempt per call ends the doubles that the first version could leave', async () => {
  const old = openStore(await createDatabase());
  const fourRecords = await import('../../src/store/migrations/0001-four-records.js');
  const oneOpenAttempt = await import('../../src/store/migrations/0002-one-open-attempt.js');
  await fourRecords.up(old.db as never);
  await sql`INSERT INTO chain (id, type, tenant, priority, state) VALUES ('c', 't', 'acme', 'normal', 'running')`.execute(
    old.db,
  );
  const attempt = newAttempt({ chainId: 'c', firstRunId: 'r', step: 's', inputHash: 'h', occurrence: 0, revision: 0 });
  await old.db
    .insertInto('attempt')
    .values([1, 2].map(() => ({ ...attempt, state: 'open' as const })))
    .execute();
  await oneOpenAttempt.up(old.db as never);
  const rows = await old.db.selectFrom('attempt').select(['state']).orderBy('id').execute();
  expect(rows.map(({ state }) => state)).toEqual(['interrupted', 'open']);
  await old.close();
});
