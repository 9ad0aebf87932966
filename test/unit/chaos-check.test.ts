import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { callOf } from '../../chaos/chains/steps.js';
import { type AttemptRow, check, type Evidence, verdictLines } from '../../chaos/check.js';
import { type CallRecord, NO_USAGE } from '../../src/embedded/simulated-claude/types.js';
import type { Receipt } from '../../src/index.js';

const BEGIN = Date.parse('2026-01-01T00:00:00Z');
const at = (seconds: number) => new Date(BEGIN + seconds * 1_000);
const usage = { ...NO_USAGE, input_tokens: 10, output_tokens: 5 };

function call(id: string, step: string, from: number, rest: Partial<CallRecord> = {}): CallRecord {
  const [startedAt, finishedAt] = [at(from).toISOString(), at(from + 1).toISOString()];
  const text = `Report one, ${step} 1. And so on.`;
  return { id, seq: from, lastUserText: text, state: 'succeeded', usage, startedAt, finishedAt, ...rest } as CallRecord;
}

function attempt(id: number, step: string, from: number, rest: Partial<AttemptRow> = {}): AttemptRow {
  return {
    id,
    chain_id: 'c-1',
    first_run_id: 'run',
    step,
    input_hash: step,
    occurrence: 0,
    revision: 0,
    call: 1,
    kind: 'call',
    state: 'succeeded',
    reason: null,
    request_id: `req-${id}`,
    input_tokens: 10,
    output_tokens: 5,
    cache_read_tokens: 0,
    cache_write_5m_tokens: 0,
    cache_write_1h_tokens: 0,
    started_at: at(from - 0.1),
    finished_at: at(from + 1.1),
    ...rest,
  };
}

const SUBMITTED = { name: 'one', id: 'c-1', steps: ['outline 1', 'conclude 1'] };
const NOTHING = { request_id: null, input_tokens: 0, output_tokens: 0 };

function receiptOf(row: AttemptRow): Receipt {
  const { id, input_tokens: inputTokens, output_tokens: outputTokens } = row;
  return { id, inputTokens, outputTokens, cacheReadTokens: 0, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0 } as Receipt;
}

/** One chain of two steps, the second of which was cut off once by the kill of a worker. */
function evidence(changes: Partial<Evidence> = {}): Evidence {
  const chain = { id: 'c-1', key: 'one', state: 'completed', first_run_id: 'run' };
  const attempts = changes.attempts ?? [
    attempt(1, 'outline', 1),
    attempt(2, 'conclude', 3, { ...NOTHING, state: 'interrupted', finished_at: at(9) }),
    attempt(3, 'conclude', 10),
  ];
  return {
    submitted: [SUBMITTED],
    clientErrors: [],
    settled: [chain],
    chains: [chain],
    attempts,
    holds: [],
    leftovers: { openAttempts: 0 },
    calls: [call('req-1', 'outline', 1), call('req-2', 'conclude', 3), call('req-3', 'conclude', 10)],
    receipts: attempts.map(receiptOf),
    histories: [{ id: 'c-1', end: 'completed', failedReplays: 0 }],
    done: [{ action: 'kill', target: 'worker-1', fromMs: BEGIN + 4_000, untilMs: BEGIN + 8_000 }],
    callOf,
    ...changes,
  };
}

const wrong = (changes: Partial<Evidence>) => check(evidence(changes)).flatMap((verdict) => verdict.wrong);

describe('the checker of a chaos run', () => {
  test.each(['check.ts', 'evidence.ts'])('takes from the code that it judges nothing but types (%s)', (file) => {
    const source = readFileSync(new URL(`../../chaos/${file}`, import.meta.url), 'utf8');
    const imports = [...source.matchAll(/^import (type )?[^;]*? from '([^']+)'/gms)];
    expect(imports.length).toBeGreaterThan(0);
    const values = imports.filter(([, isType]) => isType === undefined).map(([, , from]) => from);
    expect(values.filter((from) => from?.startsWith('.'))).toEqual([]);
  });

  test('finds nothing wrong where a kill cost the call that was in flight, and says what it cost', () => {
    const verdicts = check(evidence());
    expect(verdicts.flatMap((verdict) => verdict.wrong)).toEqual([]);
    expect(verdicts.every(({ ok }) => ok)).toBe(true);
    expect(verdicts[2]?.figures).toMatchObject({ finished: 2, calls: 3, inFlightAndLost: 1, interrupted: 1 });
    expect(verdicts[3]?.figures).toMatchObject({ simulator: 30, attempts: 30, receipts: 30, inFlightAndLost: 15 });
    expect(verdictLines(verdicts)).toHaveLength(verdicts.length);
  });

  test('names a chain that is missing, there twice, in another state, or not the one that its client was told', () => {
    const [row] = evidence().settled;
    expect(wrong({ settled: [] })).toEqual(['one: missing']);
    expect(wrong({ settled: [row!, { ...row!, id: 'c-2' }] })).toEqual(['one: 2 chains']);
    expect(wrong({ settled: [{ ...row!, state: 'running' }] })).toEqual(['one: running']);
    expect(wrong({ submitted: [{ ...SUBMITTED, id: null }] })).toEqual([
      'one: its client was told null, and it is c-1',
    ]);
    expect(wrong({ submitted: [] })).toEqual(['c-1: nobody submitted it']);
  });

  test('names a held chain that does not resume', () => {
    const held = { id: 'c-1', key: 'one', state: 'held', first_run_id: 'run' };
    expect(wrong({ settled: [held] })).toEqual([]);
    const histories = [{ id: 'c-1', end: 'running', failedReplays: 0 }];
    expect(wrong({ settled: [held], chains: [held], histories })).toEqual([
      'c-1: held, then held',
      'c-1: held, and its history running',
    ]);
  });

  test('names a finished step that is asked for again', () => {
    const again = [...evidence().calls, call('req-4', 'outline', 6)];
    const row = attempt(4, 'outline', 6, { ...NOTHING, state: 'interrupted' });
    const attempts = [...evidence().attempts, row];
    expect(wrong({ calls: again, attempts })).toEqual([
      'req-4 (c-1 outline 1): asked again after its answer was stored',
    ]);
  });

  test('names a lost answer that nothing explains', () => {
    expect(wrong({ done: [] })).toEqual([
      'req-2 (c-1 conclude 1): its answer was lost, and nothing was done to any process meanwhile',
    ]);
  });

  test('names a call of which no attempt tells', () => {
    const calls = [...evidence().calls, call('req-5', 'detail', 5)];
    expect(wrong({ calls })).toEqual(['req-5 (Report one, detail 1. And so on.): no attempt tells of this call']);
  });

  test('names a step that finished without an answer of the provider', () => {
    const calls = evidence().calls.filter(({ id }) => id !== 'req-1');
    expect(wrong({ calls })).toEqual([
      'c-1 outline 1: finished, and the provider knows no answer',
      'attempt 1 (c-1 outline 1): has tokens of a call that the provider does not know',
    ]);
  });

  test('names a step that a completed chain lacks, and an answer that was booked on another step', () => {
    const steps = [...SUBMITTED.steps, 'detail 1'];
    expect(wrong({ submitted: [{ ...SUBMITTED, steps }] })).toEqual([
      'c-1 detail 1: its chain is completed without it',
    ]);
    const calls = evidence().calls.map((one) => (one.id === 'req-1' ? call('req-1', 'detail', 1) : one));
    expect(wrong({ calls })).toContain('req-1 (c-1 outline 1): asked for one detail 1');
  });

  test('names an attempt whose tokens are off by one, and a receipt that differs', () => {
    const rows = evidence().attempts;
    const off = rows.map((row) => (row.id === 3 ? { ...row, output_tokens: 6 } : row));
    expect(wrong({ attempts: off })).toEqual([
      'req-3 (c-1 conclude 1): the provider and the attempt say output 5 and 6',
    ]);
    expect(wrong({ receipts: off.map(receiptOf) })).toEqual([
      'attempt 3 (c-1 conclude 1): its receipt: output 5 and 6',
    ]);
    expect(wrong({ receipts: rows.slice(1).map(receiptOf) })).toEqual([
      'attempt 1 (c-1 outline 1): its receipt: it has none',
      '3 attempts, 2 receipts',
    ]);
  });

  test('names a history that ended otherwise, is gone, or did not replay, and what is left behind', () => {
    expect(wrong({ histories: [] })).toEqual(['c-1: completed, and Temporal has no history of it']);
    expect(wrong({ histories: [{ id: 'c-1', end: 'failed', failedReplays: 2 }] })).toEqual([
      'c-1: completed, and its history failed',
      'c-1: 2 failed replays',
    ]);
    expect(wrong({ leftovers: { openAttempts: 3 } })).toEqual(['3 openAttempts']);
    expect(wrong({ clientErrors: ['submit one: oops'] })).toEqual(['a client was told: submit one: oops']);
  });
});
