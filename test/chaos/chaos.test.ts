import { beforeAll, expect, test } from 'vitest';
import { check, type Evidence, type Verdict, verdictLines } from '../../chaos/check.js';
import { planChaos } from '../../chaos/plan.js';
import { runChaos } from '../../chaos/run.js';

const plan = planChaos({ seed: 6, seconds: 30, chains: 40 });
let evidence: Evidence;

beforeAll(async () => {
  evidence = await runChaos(plan, { log: () => {} });
}, 400_000);

const wrongIn = (changed: Evidence): readonly string[] => check(changed).flatMap((verdict: Verdict) => verdict.wrong);

test('chains outlast processes that are killed, paused and cut off while the provider fails', () => {
  const verdicts = check(evidence);
  expect(
    verdicts.filter(({ ok }) => !ok),
    verdictLines(verdicts).join('\n'),
  ).toEqual([]);
  // What was planned has happened, and has struck calls.
  const done = evidence.done.map(({ action, target }) => `${action} ${target}`);
  expect(done.sort()).toEqual(plan.disturbances.map(({ action, target }) => `${action} ${target}`).sort());
  expect(evidence.calls.some(({ fault }) => fault !== null)).toBe(true);
  expect(evidence.calls.some(({ state, fault }) => state === 'aborted' && fault === null)).toBe(true);
});

test('the checker sees in the same evidence what somebody changes in it', () => {
  const used = evidence.attempts.findLast(({ state, kind }) => state === 'succeeded' && kind === 'call')!;
  const answer = evidence.calls.find(({ id }) => id === used.request_id)!;
  const attempts = evidence.attempts.map((row) =>
    row === used ? { ...row, output_tokens: row.output_tokens + 1 } : row,
  );
  expect(wrongIn({ ...evidence, attempts })).toEqual(
    expect.arrayContaining([expect.stringContaining(`${answer.id} `), expect.stringContaining(`attempt ${used.id} `)]),
  );
  const [first, ...rest] = evidence.settled;
  expect(wrongIn({ ...evidence, settled: rest })).toEqual([`${first!.key}: missing`]);
  const later = new Date(used.finished_at!.getTime() + 60_000).toISOString();
  const again = { ...answer, id: 'req_again', seq: Number.MAX_SAFE_INTEGER, startedAt: later, finishedAt: later };
  expect(wrongIn({ ...evidence, calls: [...evidence.calls, again] })).toEqual([expect.stringContaining('req_again')]);
});
