import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { shippedApplication } from '../../src/agents/shipped.js';
import { ChainTestEnvironment } from '../../src/testing.js';
import type { ReviewedReportResult } from '../../src/workflows/reviewed-report.js';

let environment: ChainTestEnvironment;
beforeAll(async () => {
  environment = await ChainTestEnvironment.start({ app: shippedApplication, databaseUrl: inject('postgresUrl') });
});
afterAll(() => environment?.stop());

const keyPoints = ['one', 'two', 'three', 'four', 'five'];
const DAY_MS = 24 * 3_600_000;
let documents = 0;

/** Runs the chain until it is held, on a document of its own. */
async function proposed(input: { deadlineMs?: number; onTimeout?: 'approve' | 'reject' } = {}) {
  documents += 1;
  const model = environment.script({ analyze: [{ keyPoints }], summarizeApproved: ['A summary.'] });
  const status = await environment.run('reviewed-report', { document: `Report ${documents}.`, ...input });
  expect(status).toMatchObject({
    state: 'held',
    holds: [{ kind: 'approval', step: 'report', proposal: { keyPoints } }],
  });
  return { id: status.id, hold: status.holds[0], model };
}

const outputOf = async (id: string): Promise<ReviewedReportResult> => {
  const { state, output } = await environment.wait(id);
  expect(state).toBe('completed');
  return output as ReviewedReportResult;
};

describe('reviewed-report', () => {
  test('summarises what was approved, from the conversation of the analysis', async () => {
    const { id, model } = await proposed();
    await environment.client.decide(id, { verdict: 'approve', by: 'ann', note: 'good' });
    expect(await outputOf(id)).toEqual({
      decision: 'approved',
      by: 'ann',
      at: expect.stringMatching(/^\d{4}-/),
      reason: 'good',
      timedOut: false,
      edited: false,
      analysis: { keyPoints },
      summary: 'A summary.',
    });
    const [analyze, summarize] = model.calls;
    expect(summarize?.request.turns.slice(0, 1)).toEqual(analyze?.request.turns);
    expect(summarize?.prompt).toContain('<key_points>\n1. one\n2. two');
    expect(summarize?.request).toMatchObject({ model: analyze?.model, system: analyze?.request.system });
    model.verify();
  });

  test('summarises what an editor made of the proposal, after its schema', async () => {
    const { id, model } = await proposed();
    const decide = (edit: unknown) => environment.client.decide(id, { verdict: 'approve', by: 'ann', edit });
    for (const [edit, says] of [
      [{ keyPoints: 'all' }, /keyPoints: .*array/],
      [{ keyPoints: [] }, /keyPoints: /],
      [{ keyPoints, more: 1 }, /"more"/],
      [null, /the edit: /],
    ] as const) {
      await expect(decide(edit)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: expect.stringMatching(says),
      });
    }
    expect((await environment.client.status(id)).state).toBe('held');
    await decide({ keyPoints: [' Only this. '] });
    const output = await outputOf(id);
    expect(output).toMatchObject({ decision: 'approved', edited: true, analysis: { keyPoints: ['Only this.'] } });
    expect(model.calls[1]?.prompt).toContain('<key_points>\n1. Only this.\n</key_points>');
  });

  test('ends as completed when it is rejected, and says by whom and why; nothing more is paid', async () => {
    const { id, model } = await proposed();
    await environment.client.decide(id, { verdict: 'reject', by: 'ann', note: 'not ours' });
    const rejection = { decision: 'rejected', by: 'ann', reason: 'not ours', timedOut: false, analysis: { keyPoints } };
    expect(await outputOf(id)).toEqual({ ...rejection, at: expect.any(String) });
    expect(model.calls).toHaveLength(1);
  });

  test.each([
    ['rejects by itself', undefined, { decision: 'rejected' }],
    ['approves by itself', 'approve', { decision: 'approved', edited: false, summary: 'A summary.' }],
  ] as const)('%s at its deadline', async (_what, onTimeout, expected) => {
    const { id, hold } = await proposed({ deadlineMs: 7 * DAY_MS, onTimeout });
    expect(hold?.deadline).toBeDefined();
    await environment.skipTime('8 days');
    expect(await outputOf(id)).toMatchObject({ ...expected, by: 'deadline', timedOut: true });
    const late = environment.client.decide(id, { verdict: 'approve', by: 'ann' }, hold?.id);
    await expect(late).rejects.toMatchObject({ code: 'ALREADY_DECIDED', message: expect.stringContaining('deadline') });
  });

  test('takes no deadline that makes no sense', async () => {
    for (const input of [{ deadlineMs: 0 }, { deadlineMs: 1.5 }, { deadlineMs: 1e15 }, { onTimeout: 'maybe' }]) {
      const submission = { chain: 'reviewed-report', input: { document: 'A report.', ...input } };
      await expect(environment.client.submit(submission)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    }
  });
});
